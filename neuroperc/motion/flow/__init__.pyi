from .clips import FlowClips as FlowClips
from .clips import flow_training_clips as flow_training_clips
from .model import MotionStages as MotionStages
from .model import TwoStageMotion as TwoStageMotion
from .recipe import flow_loss as flow_loss
from .recipe import train_flow as train_flow
from .sensing import MotionSensing as MotionSensing

__all__ = [
    "FlowClips",
    "MotionSensing",
    "MotionStages",
    "TwoStageMotion",
    "flow_loss",
    "flow_training_clips",
    "train_flow",
]
