from .brain import flat_map as flat_map
from .brain import glass_brain as glass_brain
from .captions import noun_table as noun_table
from .captions import tau_curve as tau_curve
from .captions import word_cloud as word_cloud
from .curves import agreement_by_eccentricity as agreement_by_eccentricity
from .curves import transfer as transfer
from .decoding import confusion as confusion
from .decoding import identification_curve as identification_curve
from .decoding import picture_rows as picture_rows
from .encoding import hierarchy as hierarchy
from .encoding import layer_profile as layer_profile
from .encoding import model_regions as model_regions
from .field import cortex as cortex
from .field import windows as windows
from .gaze import outline as outline
from .gaze import scanpath as scanpath
from .images import mark_fixation as mark_fixation
from .images import show_image as show_image
from .look import COLORS as COLORS
from .look import STYLE as STYLE
from .look import figure as figure
from .look import png as png
from .look import style as style
from .metamers import metamer_sheet as metamer_sheet
from .motion import direction_tuning as direction_tuning
from .motion import flow as flow
from .psychophysics import psychometric as psychometric
from .search import search_functions as search_functions

__all__ = [
    "COLORS",
    "STYLE",
    "agreement_by_eccentricity",
    "confusion",
    "cortex",
    "direction_tuning",
    "figure",
    "flat_map",
    "flow",
    "glass_brain",
    "hierarchy",
    "identification_curve",
    "layer_profile",
    "mark_fixation",
    "metamer_sheet",
    "model_regions",
    "noun_table",
    "outline",
    "picture_rows",
    "png",
    "psychometric",
    "scanpath",
    "search_functions",
    "show_image",
    "style",
    "tau_curve",
    "transfer",
    "windows",
    "word_cloud",
]
