from .behavior import error_consistency as error_consistency
from .behavior import human_i2n as human_i2n
from .behavior import i2n as i2n
from .behavior import i2n_ceiling as i2n_ceiling
from .behavior import model_i2n as model_i2n
from .comparing import best_layer as best_layer
from .comparing import compare_models as compare_models
from .inversion import invert as invert
from .layers import choose_layer as choose_layer
from .matched import compare_stimuli as compare_stimuli
from .observers import hierarchy_slope as hierarchy_slope
from .observers import score_models as score_models
from .rsa import rsa as rsa
from .scoring import benchmark as benchmark

__all__ = [
    "benchmark",
    "best_layer",
    "choose_layer",
    "compare_models",
    "compare_stimuli",
    "error_consistency",
    "hierarchy_slope",
    "human_i2n",
    "i2n",
    "i2n_ceiling",
    "invert",
    "model_i2n",
    "rsa",
    "score_models",
]
