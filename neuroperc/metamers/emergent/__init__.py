"""Emergent Properties of Foveated Perceptual Systems: input systems, matched distortion, test sets, comparisons."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
