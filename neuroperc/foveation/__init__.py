"""The core: what a fovea keeps of a picture. Modules from tensors to tensors, in the geometry of a `Display`.

`FoveatedBlur` lowers resolution with eccentricity, `PoolingWindows` averages over windows that grow with it, `RingPool`
pools by a table of radius, `LogPolar` samples as the cortex magnifies; pyramids serve them all.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
