"""Motion: energy filters and pyramids, models of V1 and MT, perceived flow."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
