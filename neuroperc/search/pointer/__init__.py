"""Pointer networks: a softmax over the inputs, the problems they were made for, and the scores."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
