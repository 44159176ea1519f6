"""MindEye: pictures from patterns of voxels, by contrast and a diffusion prior, with retrieval and scores."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
