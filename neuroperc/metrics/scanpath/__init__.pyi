from .embedding import scaled_time_delay_embedding as scaled_time_delay_embedding
from .embedding import time_delay_embedding as time_delay_embedding
from .multimatch import MULTIMATCH_DIMENSIONS as MULTIMATCH_DIMENSIONS
from .multimatch import multimatch as multimatch
from .pairing import coverage as coverage
from .pairing import scanpath_pairs as scanpath_pairs
from .scasim import scasim as scasim
from .strings import fixation_edit_distance as fixation_edit_distance
from .strings import grid_labels as grid_labels
from .strings import levenshtein as levenshtein
from .strings import repeat_by_duration as repeat_by_duration
from .strings import scanmatch as scanmatch
from .strings import sequence_score as sequence_score
from .strings import string_edit_distance as string_edit_distance

__all__: list[str]
