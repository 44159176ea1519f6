"""NeuroFovea: metamers in one forward pass, by exchanging texture in windows that grow with eccentricity."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
