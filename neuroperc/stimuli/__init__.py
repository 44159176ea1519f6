"""What people and models are shown: moving stimuli, trial lists, and pictures made equal in light or spectrum."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
