from .adapters import ClipTokens as ClipTokens
from .adapters import ImageEncoder as ImageEncoder
from .adapters import ImageGenerator as ImageGenerator
from .adapters import LatentDiffusion as LatentDiffusion
from .adapters import NetEncoder as NetEncoder
from .adapters import SentenceEncoder as SentenceEncoder
from .adapters import open_clip_sentences as open_clip_sentences
from .adapters import open_clip_tokens as open_clip_tokens
from .adapters import versatile_diffusion as versatile_diffusion
from .backbone import Backbone as Backbone
from .backbone import Projector as Projector
from .estimator import MindEye as MindEye
from .evaluation import evaluate_reconstructions as evaluate_reconstructions
from .evaluation import fisher_z_interval as fisher_z_interval
from .evaluation import matched_two_way as matched_two_way
from .generators import PictureDecoder as PictureDecoder
from .generators import RetrievalGenerator as RetrievalGenerator
from .linear import BrainDiffuser as BrainDiffuser
from .losses import bimixco_loss as bimixco_loss
from .losses import mix_subjects as mix_subjects
from .losses import mix_voxels as mix_voxels
from .losses import one_cycle_factor as one_cycle_factor
from .losses import soft_clip_loss as soft_clip_loss
from .losses import soft_clip_temperature as soft_clip_temperature
from .lowlevel import LowLevel as LowLevel
from .lowlevel import low_level_loss as low_level_loss
from .lowlevel import mix_repetitions as mix_repetitions
from .lowlevel import soft_patch_loss as soft_patch_loss
from .prior import DiffusionPrior as DiffusionPrior
from .prior import cosine_signal_shares as cosine_signal_shares
from .retrieval import brain_to_image as brain_to_image
from .retrieval import image_to_brain as image_to_brain
from .retrieval import nearest_training_image as nearest_training_image
from .retrieval import select_reconstructions as select_reconstructions

__all__ = [
    "Backbone",
    "BrainDiffuser",
    "ClipTokens",
    "DiffusionPrior",
    "ImageEncoder",
    "ImageGenerator",
    "LatentDiffusion",
    "LowLevel",
    "MindEye",
    "NetEncoder",
    "PictureDecoder",
    "Projector",
    "RetrievalGenerator",
    "SentenceEncoder",
    "bimixco_loss",
    "brain_to_image",
    "cosine_signal_shares",
    "evaluate_reconstructions",
    "fisher_z_interval",
    "image_to_brain",
    "low_level_loss",
    "matched_two_way",
    "mix_repetitions",
    "mix_subjects",
    "mix_voxels",
    "nearest_training_image",
    "one_cycle_factor",
    "open_clip_sentences",
    "open_clip_tokens",
    "select_reconstructions",
    "soft_clip_loss",
    "soft_clip_temperature",
    "soft_patch_loss",
    "versatile_diffusion",
]
