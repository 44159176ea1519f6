from .columns import FIXATION_COLUMNS as FIXATION_COLUMNS
from .columns import GAZE_COLUMNS as GAZE_COLUMNS
from .columns import TRIAL_COLUMNS as TRIAL_COLUMNS
from .events import detect_events as detect_events
from .events import detect_fixations as detect_fixations
from .objects import assign_objects as assign_objects
from .paths import Scanpaths as Scanpaths
from .paths import fixation_density as fixation_density
from .paths import n_fixations as n_fixations
from .paths import saccades as saccades
from .paths import scanpaths as scanpaths
from .pixels import deg_to_pixels as deg_to_pixels
from .pixels import pixels_to_deg as pixels_to_deg
from .quality import drift_correct as drift_correct
from .quality import gaze_quality as gaze_quality
from .recording import EyeRecording as EyeRecording
from .tables import check_fixations as check_fixations
from .tables import check_gaze as check_gaze
from .tables import check_trials as check_trials
from .tables import make_fixations as make_fixations
from .tables import make_gaze as make_gaze
from .tables import make_trials as make_trials

__all__: list[str]
