"""How well two sets of responses agree: by column, by geometry, and as a score divided by its reliability."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
