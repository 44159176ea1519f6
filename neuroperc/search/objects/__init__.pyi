from .baselines import nearest_paths as nearest_paths
from .baselines import object_priority as object_priority
from .baselines import priority_paths as priority_paths
from .drawing import greedy_paths as greedy_paths
from .drawing import sample_paths as sample_paths
from .embedding import ObjectEmbedding as ObjectEmbedding
from .fitting import fit_paths as fit_paths
from .fitting import next_object_probability as next_object_probability
from .fitting import path_loss as path_loss
from .fitting import path_statistics as path_statistics
from .fitting import path_targets as path_targets
from .lstm import PointerDecoder as PointerDecoder
from .oat import OAT as OAT
from .positions import learn_position_table as learn_position_table
from .positions import position_table as position_table
from .scenes import ObjectScenes as ObjectScenes
from .scenes import ObjectTrials as ObjectTrials
from .scenes import grouped_split as grouped_split
from .scenes import make_scenes as make_scenes
from .scenes import object_trials as object_trials
from .vision import PatchNet as PatchNet

__all__ = [
    "OAT",
    "ObjectEmbedding",
    "ObjectScenes",
    "ObjectTrials",
    "PatchNet",
    "PointerDecoder",
    "fit_paths",
    "greedy_paths",
    "grouped_split",
    "learn_position_table",
    "make_scenes",
    "nearest_paths",
    "next_object_probability",
    "object_priority",
    "object_trials",
    "path_loss",
    "path_statistics",
    "path_targets",
    "position_table",
    "priority_paths",
    "sample_paths",
]
