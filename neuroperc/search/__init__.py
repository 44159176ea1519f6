"""Visual search: where models and people look, how fast they find, and how their scanpaths compare."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
