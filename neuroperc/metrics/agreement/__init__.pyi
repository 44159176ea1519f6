from .correlation import explained_variance as explained_variance
from .correlation import partial_correlation as partial_correlation
from .correlation import pearson as pearson
from .correlation import r2 as r2
from .correlation import spearman as spearman
from .representation import cka as cka
from .representation import crossnobis as crossnobis
from .representation import hsic as hsic
from .representation import rdm as rdm
from .representation import rdm_agreement as rdm_agreement
from .representation import rdm_vector as rdm_vector
from .scores import RULES as RULES
from .scores import Summary as Summary
from .scores import brainscore as brainscore
from .scores import brainscore_sem as brainscore_sem
from .scores import normalized_score as normalized_score
from .scores import summarize as summarize

__all__: list[str]
