from . import mindeye as mindeye
from .captions import PERSON_WORDS as PERSON_WORDS
from .captions import PrefixCaptioner as PrefixCaptioner
from .captions import RetrievalCaptioner as RetrievalCaptioner
from .captions import caption_voxels as caption_voxels
from .captions import counterfactual_effect as counterfactual_effect
from .captions import distance_to_bank as distance_to_bank
from .captions import fit_image_encoder as fit_image_encoder
from .captions import nouns_by_region as nouns_by_region
from .captions import project_weights as project_weights
from .captions import shuffle_stimuli as shuffle_stimuli
from .captions import weight_stability as weight_stability
from .captions import word_map as word_map
from .classification import Decoding as Decoding
from .classification import decode_labels as decode_labels
from .design import design as design
from .design import fir_delays as fir_delays
from .design import hemodynamic_response as hemodynamic_response
from .mindeye import BrainDiffuser as BrainDiffuser
from .mindeye import MindEye as MindEye
from .mindeye import brain_to_image as brain_to_image
from .mindeye import evaluate_reconstructions as evaluate_reconstructions
from .mindeye import image_to_brain as image_to_brain
from .permutation import permutation_test as permutation_test
from .permutation import permuted_rows as permuted_rows
from .planted import PlantedBrain as PlantedBrain
from .planted import plant_brain as plant_brain
from .planted import write_planted as write_planted
from .planted_bold import plant_bold as plant_bold
from .prf import fit_prf as fit_prf
from .prf import predict_prf as predict_prf
from .reconstruction import Reconstruction as Reconstruction
from .reconstruction import reconstruct as reconstruct
from .volumes import FlatBrain as FlatBrain
from .volumes import Surface as Surface
from .volumes import clean_bold as clean_bold
from .volumes import label_voxels as label_voxels
from .volumes import nsd_trials as nsd_trials
from .volumes import read_betas as read_betas
from .volumes import read_bold as read_bold
from .volumes import read_events as read_events
from .volumes import read_flat_brain as read_flat_brain
from .volumes import read_map as read_map
from .volumes import read_nsd_betas as read_nsd_betas
from .volumes import read_nsd_images as read_nsd_images
from .volumes import read_nsd_map as read_nsd_map
from .volumes import read_nsd_stimuli as read_nsd_stimuli
from .volumes import read_surface as read_surface
from .volumes import region_table as region_table
from .volumes import resample_volume as resample_volume
from .volumes import to_region_masks as to_region_masks
from .volumes import to_vertices as to_vertices
from .volumes import write_map as write_map
from .volumes import write_nsd as write_nsd
from .voxelwise import encode_voxels as encode_voxels
from .voxelwise import noise_ceilings as noise_ceilings
from .voxelwise import voxel_weights as voxel_weights

__all__ = [
    "PERSON_WORDS",
    "BrainDiffuser",
    "Decoding",
    "FlatBrain",
    "MindEye",
    "PlantedBrain",
    "PrefixCaptioner",
    "Reconstruction",
    "RetrievalCaptioner",
    "Surface",
    "brain_to_image",
    "caption_voxels",
    "clean_bold",
    "counterfactual_effect",
    "decode_labels",
    "design",
    "distance_to_bank",
    "encode_voxels",
    "evaluate_reconstructions",
    "fir_delays",
    "fit_image_encoder",
    "fit_prf",
    "hemodynamic_response",
    "image_to_brain",
    "label_voxels",
    "mindeye",
    "noise_ceilings",
    "nouns_by_region",
    "nsd_trials",
    "permutation_test",
    "permuted_rows",
    "plant_bold",
    "plant_brain",
    "predict_prf",
    "project_weights",
    "read_betas",
    "read_bold",
    "read_events",
    "read_flat_brain",
    "read_map",
    "read_nsd_betas",
    "read_nsd_images",
    "read_nsd_map",
    "read_nsd_stimuli",
    "read_surface",
    "reconstruct",
    "region_table",
    "resample_volume",
    "shuffle_stimuli",
    "to_region_masks",
    "to_vertices",
    "voxel_weights",
    "weight_stability",
    "word_map",
    "write_map",
    "write_nsd",
    "write_planted",
]
