from .ringpool import RingPool as RingPool
from .ringpool import RingTable as RingTable

__all__ = ["RingPool", "RingTable"]
