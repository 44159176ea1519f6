"""How well the layers of a model predict neurons, voxels and behaviour."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
