from .cortex import LogPolar as LogPolar
from .pooling import PoolingWindows as PoolingWindows
from .ringpool import RingPool as RingPool
from .ringpool import RingTable as RingTable

__all__ = ["LogPolar", "PoolingWindows", "RingPool", "RingTable"]
