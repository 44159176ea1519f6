"""Visual search: where models and people look, how fast they find, and how their scanpaths compare."""
"""Where people look when they search: models of priority, scanpaths over objects, and what to compare them with."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
