"""Motion energy: quadrature filters in space and time, dense or as the pyramid of encoding models."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
