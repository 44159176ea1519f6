from .energy import EnergyPyramid as EnergyPyramid
from .energy import MotionEnergy as MotionEnergy
from .energy import TemporalFilters as TemporalFilters
from .energy import temporal_filters as temporal_filters

__all__ = [
    "EnergyPyramid",
    "MotionEnergy",
    "TemporalFilters",
    "temporal_filters",
]
