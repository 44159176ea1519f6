"""The Trials, Fixations and Gaze schemas: make, check, scanpaths, density, event detection."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
