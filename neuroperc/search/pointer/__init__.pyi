from .head import PointerHead as PointerHead
from .network import PointerNet as PointerNet
from .network import solve as solve
from .problems import Problems as Problems
from .problems import hull_problems as hull_problems
from .problems import sorting_problems as sorting_problems
from .problems import tour_problems as tour_problems
from .scores import HullScores as HullScores
from .scores import hull_scores as hull_scores
from .scores import tour_length as tour_length

__all__ = [
    "HullScores",
    "PointerHead",
    "PointerNet",
    "Problems",
    "hull_problems",
    "hull_scores",
    "solve",
    "sorting_problems",
    "tour_length",
    "tour_problems",
]
