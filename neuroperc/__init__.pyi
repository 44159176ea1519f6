from . import color as color
from . import data as data
from . import decoding as decoding
from . import encoding as encoding
from . import foveation as foveation
from . import metamers as metamers
from . import metrics as metrics
from . import motion as motion
from . import nets as nets
from . import plot as plot
from . import regression as regression
from . import search as search
from . import stimuli as stimuli
from . import testing as testing
from . import training as training
from .data import StimulusSet as StimulusSet
from .display import Calibration as Calibration
from .display import Display as Display
from .experiment import Claim as Claim
from .experiment import Result as Result
from .experiment import run_experiment as run_experiment
from .recording import record as record
from .synthesis import Metamer as Metamer
from .synthesis import eigendistortions as eigendistortions
from .synthesis import mad_competition as mad_competition
from .synthesis import synthesize as synthesize

__version__: str
