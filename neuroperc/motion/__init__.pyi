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
from .tuning import Tuning as Tuning
from .tuning import contrast_statistics as contrast_statistics
from .tuning import contrast_tuning as contrast_tuning
from .tuning import direction_statistics as direction_statistics
from .tuning import direction_tuning as direction_tuning
from .tuning import frequency_tuning as frequency_tuning
from .tuning import illusions as illusions
from .tuning import opponent_index as opponent_index
from .tuning import plaid_statistics as plaid_statistics
from .tuning import plaid_tuning as plaid_tuning
from .tuning import respond as respond
from .tuning import speed_statistics as speed_statistics
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
    "Tuning",
    "TwoStageMotion",
    "contrast_statistics",
    "contrast_tuning",
    "direction_statistics",
    "direction_tuning",
    "flow_agreement",
    "flow_at",
    "flow_loss",
    "flow_report",
    "flow_training_clips",
    "frequency_tuning",
    "huperflow",
    "illusions",
    "kitti_session",
    "opponent_index",
    "plaid_statistics",
    "plaid_tuning",
    "respond",
    "response_consistency",
    "second_order",
    "sintel_slow",
    "speed_statistics",
    "temporal_filters",
    "temporal_flow",
    "train_flow",
]
