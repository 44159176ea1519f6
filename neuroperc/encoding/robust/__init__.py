"""Rotation-invariant and adversarial training, attacks, and how accuracy falls with their strength."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
