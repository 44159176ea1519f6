"""The one image optimiser: pictures that a model cannot tell from a target (metamers, inversion).

`synthesize` changes a picture until a model's features match; a `Metamer` is the picture with its record.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
