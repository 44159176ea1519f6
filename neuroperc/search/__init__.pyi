from . import objects as objects
from . import pointer as pointer
from .objects import OAT as OAT
from .objects import ObjectEmbedding as ObjectEmbedding
from .objects import ObjectScenes as ObjectScenes
from .objects import ObjectTrials as ObjectTrials
from .objects import PatchNet as PatchNet
from .objects import PointerDecoder as PointerDecoder
from .objects import fit_paths as fit_paths
from .objects import greedy_paths as greedy_paths
from .objects import grouped_split as grouped_split
from .objects import learn_position_table as learn_position_table
from .objects import make_scenes as make_scenes
from .objects import nearest_paths as nearest_paths
from .objects import next_object_probability as next_object_probability
from .objects import object_priority as object_priority
from .objects import object_trials as object_trials
from .objects import path_loss as path_loss
from .objects import path_statistics as path_statistics
from .objects import path_targets as path_targets
from .objects import position_table as position_table
from .objects import priority_paths as priority_paths
from .objects import sample_paths as sample_paths
from .pointer import PointerHead as PointerHead
from .pointer import PointerNet as PointerNet

__all__ = [
    "OAT",
    "ObjectEmbedding",
    "ObjectScenes",
    "ObjectTrials",
    "PatchNet",
    "PointerDecoder",
    "PointerHead",
    "PointerNet",
    "fit_paths",
    "greedy_paths",
    "grouped_split",
    "learn_position_table",
    "make_scenes",
    "nearest_paths",
    "next_object_probability",
    "object_priority",
    "object_trials",
    "objects",
    "path_loss",
    "path_statistics",
    "path_targets",
    "pointer",
    "position_table",
    "priority_paths",
    "sample_paths",
]
