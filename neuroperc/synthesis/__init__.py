"""The one image optimiser: pictures that a model cannot tell from a target, and their siblings.

`synthesize` changes a picture until a model's features match (metamers, inversion); a `Metamer` is the picture with its
record. `mad_competition` finds pictures on which two metrics disagree, `eigendistortions` the changes of a picture that
a model notices most and least.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
