from .model import MotionEnergy as MotionEnergy
from .pyramid import EnergyPyramid as EnergyPyramid
from .temporal import TemporalFilters as TemporalFilters
from .temporal import temporal_filters as temporal_filters

__all__ = [
    "EnergyPyramid",
    "MotionEnergy",
    "TemporalFilters",
    "temporal_filters",
]
