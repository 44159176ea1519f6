from .banded import BandedRidge as BandedRidge
from .banded import himalaya_backend as himalaya_backend
from .crossval import HeldOut as HeldOut
from .crossval import cross_predict as cross_predict
from .gram import Rotated as Rotated
from .gram import gram_matrix as gram_matrix
from .gram import rotate as rotate
from .pls import PLS as PLS
from .ridge import RidgeCV as RidgeCV
from .splits import fold_splits as fold_splits
from .splits import shuffle_splits as shuffle_splits

__all__ = [
    "PLS",
    "BandedRidge",
    "HeldOut",
    "RidgeCV",
    "Rotated",
    "cross_predict",
    "fold_splits",
    "gram_matrix",
    "himalaya_backend",
    "rotate",
    "shuffle_splits",
]
