"""Can an observer tell? Tasks, simulated observers, and the critical scaling of their answers."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
