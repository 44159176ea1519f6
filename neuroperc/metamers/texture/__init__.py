"""Portilla and Simoncelli's statistics of textures, over the whole picture or over windows."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
