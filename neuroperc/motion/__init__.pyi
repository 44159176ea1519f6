from .energy import EnergyPyramid as EnergyPyramid
from .energy import MotionEnergy as MotionEnergy
from .energy import TemporalFilters as TemporalFilters
from .energy import temporal_filters as temporal_filters
from .flow import FlowClips as FlowClips
from .flow import MotionSensing as MotionSensing
from .flow import MotionStages as MotionStages
from .flow import TwoStageMotion as TwoStageMotion
from .flow import flow_loss as flow_loss
from .flow import flow_training_clips as flow_training_clips
from .flow import train_flow as train_flow

__all__ = [
    "EnergyPyramid",
    "FlowClips",
    "MotionEnergy",
    "MotionSensing",
    "MotionStages",
    "TemporalFilters",
    "TwoStageMotion",
    "flow_loss",
    "flow_training_clips",
    "temporal_filters",
    "train_flow",
]
