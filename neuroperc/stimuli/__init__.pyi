from .equalizing import Equalized as Equalized
from .equalizing import equalize as equalize
from .trial_lists import trials as trials

__all__ = ["Equalized", "equalize", "trials"]
