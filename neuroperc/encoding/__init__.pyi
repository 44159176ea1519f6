from . import corruptions as corruptions
from . import robust as robust
from .behavior import error_consistency as error_consistency
from .behavior import human_i2n as human_i2n
from .behavior import i2n as i2n
from .behavior import i2n_ceiling as i2n_ceiling
from .behavior import model_i2n as model_i2n
from .comparing import best_layer as best_layer
from .comparing import compare_models as compare_models
from .corruptions import corrupt as corrupt
from .corruptions import corrupt_stimuli as corrupt_stimuli
from .corruptions import corruption_table as corruption_table
from .inversion import invert as invert
from .layers import choose_layer as choose_layer
from .matched import compare_stimuli as compare_stimuli
from .observers import hierarchy_slope as hierarchy_slope
from .observers import score_models as score_models
from .robust import attack_curve as attack_curve
from .robust import fgsm as fgsm
from .robust import fit_robust as fit_robust
from .robust import pgd as pgd
from .robust import rotate_quarter as rotate_quarter
from .rsa import rsa as rsa
from .scoring import benchmark as benchmark

__all__ = [
    "attack_curve",
    "benchmark",
    "best_layer",
    "choose_layer",
    "compare_models",
    "compare_stimuli",
    "corrupt",
    "corrupt_stimuli",
    "corruption_table",
    "corruptions",
    "error_consistency",
    "fgsm",
    "fit_robust",
    "hierarchy_slope",
    "human_i2n",
    "i2n",
    "i2n_ceiling",
    "invert",
    "model_i2n",
    "pgd",
    "robust",
    "rotate_quarter",
    "rsa",
    "score_models",
]
