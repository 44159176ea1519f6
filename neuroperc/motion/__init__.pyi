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
from .perceived import FlowAgreement as FlowAgreement
from .perceived import FlowReport as FlowReport
from .perceived import flow_agreement as flow_agreement
from .perceived import flow_at as flow_at
from .perceived import flow_report as flow_report
from .perceived import huperflow as huperflow
from .perceived import kitti_session as kitti_session
from .perceived import response_consistency as response_consistency
from .perceived import second_order as second_order
from .perceived import sintel_slow as sintel_slow
from .perceived import temporal_flow as temporal_flow
from .v1mt import SimoncelliHeeger as SimoncelliHeeger

__all__ = [
    "EnergyPyramid",
    "FlowAgreement",
    "FlowClips",
    "FlowReport",
    "MotionEnergy",
    "MotionSensing",
    "MotionStages",
    "SimoncelliHeeger",
    "TemporalFilters",
    "TwoStageMotion",
    "flow_agreement",
    "flow_at",
    "flow_loss",
    "flow_report",
    "flow_training_clips",
    "huperflow",
    "kitti_session",
    "response_consistency",
    "second_order",
    "sintel_slow",
    "temporal_filters",
    "temporal_flow",
    "train_flow",
]
