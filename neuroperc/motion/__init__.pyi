from .energy import EnergyPyramid as EnergyPyramid
from .energy import MotionEnergy as MotionEnergy
from .energy import TemporalFilters as TemporalFilters
from .energy import temporal_filters as temporal_filters
from .v1mt import SimoncelliHeeger as SimoncelliHeeger

__all__ = [
    "EnergyPyramid",
    "MotionEnergy",
    "SimoncelliHeeger",
    "TemporalFilters",
    "temporal_filters",
]
