from .encoder import counterfactual_effect as counterfactual_effect
from .encoder import fit_image_encoder as fit_image_encoder
from .encoder import shuffle_stimuli as shuffle_stimuli
from .encoder import weight_stability as weight_stability
from .prefix import PrefixCaptioner as PrefixCaptioner
from .projection import distance_to_bank as distance_to_bank
from .projection import project_weights as project_weights
from .voxels import Captioner as Captioner
from .voxels import RetrievalCaptioner as RetrievalCaptioner
from .voxels import caption_voxels as caption_voxels
from .words import PERSON_WORDS as PERSON_WORDS
from .words import nouns_by_region as nouns_by_region
from .words import word_map as word_map

__all__ = [
    "PERSON_WORDS",
    "Captioner",
    "PrefixCaptioner",
    "RetrievalCaptioner",
    "caption_voxels",
    "counterfactual_effect",
    "distance_to_bank",
    "fit_image_encoder",
    "nouns_by_region",
    "project_weights",
    "shuffle_stimuli",
    "weight_stability",
    "word_map",
]
