from . import objects as objects
from . import pointer as pointer
from .asymmetry import SlopeComparison as SlopeComparison
from .asymmetry import asymmetry_index as asymmetry_index
from .asymmetry import asymmetry_table as asymmetry_table
from .asymmetry import compare_slopes as compare_slopes
from .asymmetry import reaction_times as reaction_times
from .asymmetry import search_slopes as search_slopes
from .clustering import cluster_fixations as cluster_fixations
from .comparison import ScanpathComparison as ScanpathComparison
from .comparison import compare_scanpaths as compare_scanpaths
from .controls import ChancePriority as ChancePriority
from .controls import PixelPriority as PixelPriority
from .diets import DIETS as DIETS
from .diets import BlackGrid as BlackGrid
from .diets import Fisheye as Fisheye
from .diets import Rotate90 as Rotate90
from .diets import training_diet as training_diet
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
from .pictures import picture_search as picture_search
from .pointer import PointerHead as PointerHead
from .pointer import PointerNet as PointerNet
from .predictions import human_reaction_times as human_reaction_times
from .predictions import read_vsa_predictions as read_vsa_predictions
from .priority import EccNet as EccNet
from .priority import TemplatePriority as TemplatePriority
from .simulation import simulate as simulate

__all__ = [
    "DIETS",
    "OAT",
    "BlackGrid",
    "ChancePriority",
    "EccNet",
    "Fisheye",
    "ObjectEmbedding",
    "ObjectScenes",
    "ObjectTrials",
    "PatchNet",
    "PixelPriority",
    "PointerDecoder",
    "PointerHead",
    "PointerNet",
    "Rotate90",
    "ScanpathComparison",
    "SlopeComparison",
    "TemplatePriority",
    "asymmetry_index",
    "asymmetry_table",
    "cluster_fixations",
    "compare_scanpaths",
    "compare_slopes",
    "fit_paths",
    "greedy_paths",
    "grouped_split",
    "human_reaction_times",
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
    "picture_search",
    "pointer",
    "position_table",
    "priority_paths",
    "reaction_times",
    "read_vsa_predictions",
    "sample_paths",
    "search_slopes",
    "simulate",
    "training_diet",
]
