"""Backbones and their layers: every torchvision and timm network behind one door, fed with house images.

`load` returns a `Net`: it takes linear-light pictures, and encodes, resizes and normalises them as its weights want.
Nothing else in the package imports torchvision or timm, and they are imported only when a network is built.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
