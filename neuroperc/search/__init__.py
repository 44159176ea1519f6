"""Visual search: where a model of the eye looks for a target, and what people do."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
