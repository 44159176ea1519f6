from .cleaning import clean_bold as clean_bold
from .cleaning import named_hrf as named_hrf
from .cleaning import resample_volume as resample_volume
from .nsd import nsd_trials as nsd_trials
from .nsd import read_nsd_betas as read_nsd_betas
from .nsd import read_nsd_map as read_nsd_map
from .nsd_pictures import read_nsd_images as read_nsd_images
from .nsd_pictures import read_nsd_stimuli as read_nsd_stimuli
from .nsd_writing import write_nsd as write_nsd
from .reading import read_betas as read_betas
from .reading import read_bold as read_bold
from .reading import read_events as read_events
from .reading import read_map as read_map
from .regions import label_voxels as label_voxels
from .regions import region_table as region_table
from .sampling import to_region_masks as to_region_masks
from .sampling import to_vertices as to_vertices
from .surfaces import FlatBrain as FlatBrain
from .surfaces import Surface as Surface
from .surfaces import read_flat_brain as read_flat_brain
from .surfaces import read_surface as read_surface
from .writing import write_map as write_map

__all__ = [
    "FlatBrain",
    "Surface",
    "clean_bold",
    "label_voxels",
    "named_hrf",
    "nsd_trials",
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
    "region_table",
    "resample_volume",
    "to_region_masks",
    "to_vertices",
    "write_map",
    "write_nsd",
]
