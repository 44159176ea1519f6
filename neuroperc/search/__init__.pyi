from .asymmetry import SlopeComparison as SlopeComparison
from .asymmetry import asymmetry_index as asymmetry_index
from .asymmetry import asymmetry_table as asymmetry_table
from .asymmetry import compare_slopes as compare_slopes
from .asymmetry import reaction_times as reaction_times
from .asymmetry import search_slopes as search_slopes
from .clustering import cluster_fixations as cluster_fixations
from .comparison import ScanpathComparison as ScanpathComparison
from .comparison import compare_scanpaths as compare_scanpaths
from .predictions import human_reaction_times as human_reaction_times
from .predictions import read_vsa_predictions as read_vsa_predictions
from .priority import ChancePriority as ChancePriority
from .priority import EccNet as EccNet
from .priority import PixelPriority as PixelPriority
from .priority import TemplatePriority as TemplatePriority
from .simulation import simulate as simulate

__all__ = [
    "ChancePriority",
    "EccNet",
    "PixelPriority",
    "ScanpathComparison",
    "SlopeComparison",
    "TemplatePriority",
    "asymmetry_index",
    "asymmetry_table",
    "cluster_fixations",
    "compare_scanpaths",
    "compare_slopes",
    "human_reaction_times",
    "reaction_times",
    "read_vsa_predictions",
    "search_slopes",
    "simulate",
]
