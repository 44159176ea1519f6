"""The guided tour: a photograph through every stage, a file a stage, written as one HTML page."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
