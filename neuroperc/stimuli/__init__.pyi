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
from .search_displays import SEARCH_TASKS as SEARCH_TASKS
from .search_displays import cell_table as cell_table
from .search_displays import item_table as item_table
from .search_displays import search_displays as search_displays
from .second_order import second_order as second_order
from .trial_lists import trials as trials

__all__ = [
    "SEARCH_TASKS",
    "Equalized",
    "barber_poles",
    "cell_table",
    "dots",
    "drifting_noise",
    "equalize",
    "flow_clips",
    "flow_px",
    "gabor_arrays",
    "gratings",
    "item_table",
    "motion_clouds",
    "optic_flow",
    "phi_motion",
    "plaids",
    "regenerate",
    "search_displays",
    "second_order",
    "trials",
]
