from .asymmetry import SlopeComparison as SlopeComparison
from .asymmetry import asymmetry_index as asymmetry_index
from .asymmetry import asymmetry_table as asymmetry_table
from .asymmetry import compare_slopes as compare_slopes
from .asymmetry import reaction_times as reaction_times
from .asymmetry import search_slopes as search_slopes
from .controls import ChancePriority as ChancePriority
from .controls import PixelPriority as PixelPriority
from .diets import DIETS as DIETS
from .diets import BlackGrid as BlackGrid
from .diets import Fisheye as Fisheye
from .diets import Rotate90 as Rotate90
from .diets import training_diet as training_diet
from .predictions import human_reaction_times as human_reaction_times
from .predictions import read_vsa_predictions as read_vsa_predictions
from .priority import EccNet as EccNet
from .priority import TemplatePriority as TemplatePriority
from .simulation import simulate as simulate

__all__ = [
    "BlackGrid",
    "ChancePriority",
    "DIETS",
    "EccNet",
    "Fisheye",
    "PixelPriority",
    "Rotate90",
    "SlopeComparison",
    "TemplatePriority",
    "asymmetry_index",
    "asymmetry_table",
    "compare_slopes",
    "human_reaction_times",
    "reaction_times",
    "read_vsa_predictions",
    "search_slopes",
    "simulate",
    "training_diet",
]
