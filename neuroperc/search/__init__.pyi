from .clustering import cluster_fixations as cluster_fixations
from .comparison import ScanpathComparison as ScanpathComparison
from .comparison import compare_scanpaths as compare_scanpaths

__all__: list[str]
