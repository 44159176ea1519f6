"""The one fitting engine: features are rotated once, through a streamed Gram matrix, before PLS or ridge."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
