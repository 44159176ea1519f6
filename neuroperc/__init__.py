"""neuroperc: what a fovea keeps, where people look, and what neurons answer, in degrees of visual angle.

Everything is loaded on first use; the stub beside this file is the public API.
"""

import lazy_loader as _lazy

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
