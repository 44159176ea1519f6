from .corrupting import corrupt as corrupt
from .corrupting import corrupt_stimuli as corrupt_stimuli
from .severities import FAMILIES as FAMILIES
from .severities import SEVERITIES as SEVERITIES
from .table import corruption_table as corruption_table

__all__ = [
    "FAMILIES",
    "SEVERITIES",
    "corrupt",
    "corrupt_stimuli",
    "corruption_table",
]
