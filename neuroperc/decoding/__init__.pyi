from .classification import Decoding as Decoding
from .classification import decode_labels as decode_labels
from .design import design as design
from .design import fir_delays as fir_delays
from .design import hemodynamic_response as hemodynamic_response
from .permutation import permutation_test as permutation_test
from .permutation import permuted_rows as permuted_rows
from .prf import fit_prf as fit_prf
from .prf import predict_prf as predict_prf
from .reconstruction import Reconstruction as Reconstruction
from .reconstruction import reconstruct as reconstruct
from .volumes import clean_bold as clean_bold
from .volumes import label_voxels as label_voxels
from .volumes import nsd_trials as nsd_trials
from .volumes import read_betas as read_betas
from .volumes import read_bold as read_bold
from .volumes import read_events as read_events
from .volumes import read_nsd_betas as read_nsd_betas
from .volumes import read_nsd_images as read_nsd_images
from .volumes import read_nsd_map as read_nsd_map
from .volumes import region_table as region_table
from .volumes import resample_volume as resample_volume
from .volumes import write_map as write_map
from .volumes import write_nsd as write_nsd
from .voxelwise import encode_voxels as encode_voxels
from .voxelwise import noise_ceilings as noise_ceilings
from .voxelwise import voxel_weights as voxel_weights

__all__ = [
    "Decoding",
    "Reconstruction",
    "clean_bold",
    "decode_labels",
    "design",
    "encode_voxels",
    "fir_delays",
    "fit_prf",
    "hemodynamic_response",
    "label_voxels",
    "noise_ceilings",
    "nsd_trials",
    "permutation_test",
    "permuted_rows",
    "predict_prf",
    "read_betas",
    "read_bold",
    "read_events",
    "read_nsd_betas",
    "read_nsd_images",
    "read_nsd_map",
    "reconstruct",
    "region_table",
    "resample_volume",
    "voxel_weights",
    "write_map",
    "write_nsd",
]
