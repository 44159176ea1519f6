from .blur import FoveatedBlur as FoveatedBlur
from .cortex import LogPolar as LogPolar
from .pooling import PoolingWindows as PoolingWindows
from .pyramid import SteerableBands as SteerableBands
from .pyramid import SteerablePyramid as SteerablePyramid
from .pyramid import from_laplacian_pyramid as from_laplacian_pyramid
from .pyramid import gaussian_pyramid as gaussian_pyramid
from .pyramid import laplacian_pyramid as laplacian_pyramid
from .ringpool import RingPool as RingPool
from .ringpool import RingTable as RingTable

__all__ = [
    "FoveatedBlur",
    "LogPolar",
    "PoolingWindows",
    "RingPool",
    "RingTable",
    "SteerableBands",
    "SteerablePyramid",
    "from_laplacian_pyramid",
    "gaussian_pyramid",
    "laplacian_pyramid",
]
