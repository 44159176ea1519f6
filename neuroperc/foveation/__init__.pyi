from .cortex import LogPolar as LogPolar
from .ringpool import RingPool as RingPool
from .ringpool import RingTable as RingTable

__all__ = ["LogPolar", "RingPool", "RingTable"]
