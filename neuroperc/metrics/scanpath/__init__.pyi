from .multimatch import MULTIMATCH_DIMENSIONS as MULTIMATCH_DIMENSIONS
from .multimatch import multimatch as multimatch

__all__: list[str]
