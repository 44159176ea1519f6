"""Scanpaths over objects: OAT, the LSTM pointer decoder, searchers without training, and training on paths."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
