from .analysis import contrast_statistics as contrast_statistics
from .analysis import direction_statistics as direction_statistics
from .analysis import opponent_index as opponent_index
from .analysis import plaid_statistics as plaid_statistics
from .analysis import speed_statistics as speed_statistics
from .measure import Tuning as Tuning
from .measure import contrast_tuning as contrast_tuning
from .measure import direction_tuning as direction_tuning
from .measure import frequency_tuning as frequency_tuning
from .measure import illusions as illusions
from .measure import plaid_tuning as plaid_tuning
from .measure import respond as respond

__all__ = [
    "Tuning",
    "contrast_statistics",
    "contrast_tuning",
    "direction_statistics",
    "direction_tuning",
    "frequency_tuning",
    "illusions",
    "opponent_index",
    "plaid_statistics",
    "plaid_tuning",
    "respond",
    "speed_statistics",
]
