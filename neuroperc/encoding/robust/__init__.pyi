from .attacks import fgsm as fgsm
from .attacks import pgd as pgd
from .codes import CodesNet as CodesNet
from .codes import on_codes as on_codes
from .curves import accuracy as accuracy
from .curves import attack_curve as attack_curve
from .folder import PictureFolder as PictureFolder
from .training import RECIPE_RATES as RECIPE_RATES
from .training import fit_robust as fit_robust
from .training import rotate_quarter as rotate_quarter

__all__ = [
    "RECIPE_RATES",
    "CodesNet",
    "PictureFolder",
    "accuracy",
    "attack_curve",
    "fgsm",
    "fit_robust",
    "on_codes",
    "pgd",
    "rotate_quarter",
]
