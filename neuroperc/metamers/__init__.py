"""Pictures that a model of peripheral vision cannot tell apart, and the models."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
