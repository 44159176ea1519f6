from ._made import Shown as Shown
from .arrays import gabor_arrays as gabor_arrays
from .clips import flow_clips as flow_clips
from .clips import flow_px as flow_px
from .clips import regenerate as regenerate
from .dots import dots as dots
from .dots import optic_flow as optic_flow
from .equalizing import Equalized as Equalized
from .equalizing import equalize as equalize
from .gratings import barber_poles as barber_poles
from .gratings import gratings as gratings
from .gratings import plaids as plaids
from .noise import drifting_noise as drifting_noise
from .noise import motion_clouds as motion_clouds
from .noise import phi_motion as phi_motion
from .second_order import second_order as second_order
from .trial_lists import trials as trials

__all__ = [
    "Equalized",
    "Shown",
    "barber_poles",
    "dots",
    "drifting_noise",
    "equalize",
    "flow_clips",
    "flow_px",
    "gabor_arrays",
    "gratings",
    "motion_clouds",
    "optic_flow",
    "phi_motion",
    "plaids",
    "regenerate",
    "second_order",
    "trials",
]
