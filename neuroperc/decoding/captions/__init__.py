"""BrainSCUBA: what a voxel answers to, in words, by way of images that exist."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
