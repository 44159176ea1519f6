from .comparison import Crossover as Crossover
from .comparison import accuracy as accuracy
from .comparison import crossover_area as crossover_area
from .comparison import generalization_matrix as generalization_matrix
from .comparison import run_interval as run_interval
from .matching import DistortionMatch as DistortionMatch
from .matching import match_distortion as match_distortion
from .matching import structural_distortion as structural_distortion
from .systems import FoveationBlur as FoveationBlur
from .systems import MatchedSystems as MatchedSystems
from .systems import ReferenceSystem as ReferenceSystem
from .systems import UniformBlur as UniformBlur
from .systems import input_systems as input_systems
from .systems import match_input_systems as match_input_systems
from .testsets import conflict_partners as conflict_partners
from .testsets import cue_conflict as cue_conflict
from .testsets import foveal_masks as foveal_masks
from .testsets import foveal_radii_deg as foveal_radii_deg
from .testsets import frequency_levels_deg as frequency_levels_deg
from .testsets import high_pass as high_pass
from .testsets import low_pass as low_pass
from .testsets import occlude as occlude
from .testsets import occlusion_masks as occlusion_masks

__all__ = [
    "Crossover",
    "DistortionMatch",
    "FoveationBlur",
    "MatchedSystems",
    "ReferenceSystem",
    "UniformBlur",
    "accuracy",
    "conflict_partners",
    "crossover_area",
    "cue_conflict",
    "foveal_masks",
    "foveal_radii_deg",
    "frequency_levels_deg",
    "generalization_matrix",
    "high_pass",
    "input_systems",
    "low_pass",
    "match_distortion",
    "match_input_systems",
    "occlude",
    "occlusion_masks",
    "run_interval",
    "structural_distortion",
]
