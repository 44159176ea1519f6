from . import emergent as emergent
from .discrimination import CriticalScalingFit as CriticalScalingFit
from .discrimination import CriticalScalingGroups as CriticalScalingGroups
from .discrimination import Power as Power
from .discrimination import Task as Task
from .discrimination import abx_task as abx_task
from .discrimination import count_correct as count_correct
from .discrimination import critical_scaling_power as critical_scaling_power
from .discrimination import fit_critical_scaling as fit_critical_scaling
from .discrimination import fit_critical_scaling_groups as fit_critical_scaling_groups
from .discrimination import oddity_task as oddity_task
from .discrimination import simulate_critical_scaling as simulate_critical_scaling
from .discrimination import simulate_observer as simulate_observer
from .discrimination import split_screen_task as split_screen_task
from .discrimination import task_dprime as task_dprime
from .emergent import FoveationBlur as FoveationBlur
from .emergent import UniformBlur as UniformBlur
from .emergent import input_systems as input_systems
from .emergent import match_distortion as match_distortion
from .emergent import match_input_systems as match_input_systems
from .models import EnergyModel as EnergyModel
from .models import LuminanceModel as LuminanceModel
from .style import ConvCodec as ConvCodec
from .style import FeatureDecoder as FeatureDecoder
from .style import NeuroFovea as NeuroFovea
from .style import NeuroFoveaWindows as NeuroFoveaWindows
from .style import PyramidCodec as PyramidCodec
from .style import StrengthFit as StrengthFit
from .style import colored_noise as colored_noise
from .style import fit_texture_strength as fit_texture_strength
from .style import neurofovea_codec as neurofovea_codec
from .style import neurofovea_windows as neurofovea_windows
from .style import ring_ssim as ring_ssim
from .style import texture_strength as texture_strength
from .style import vgg16_codec as vgg16_codec
from .texture import TextureModel as TextureModel

__all__ = [
    "ConvCodec",
    "CriticalScalingFit",
    "CriticalScalingGroups",
    "EnergyModel",
    "FeatureDecoder",
    "FoveationBlur",
    "LuminanceModel",
    "NeuroFovea",
    "NeuroFoveaWindows",
    "Power",
    "PyramidCodec",
    "StrengthFit",
    "Task",
    "TextureModel",
    "UniformBlur",
    "abx_task",
    "colored_noise",
    "count_correct",
    "critical_scaling_power",
    "emergent",
    "fit_critical_scaling",
    "fit_critical_scaling_groups",
    "fit_texture_strength",
    "input_systems",
    "match_distortion",
    "match_input_systems",
    "neurofovea_codec",
    "neurofovea_windows",
    "oddity_task",
    "ring_ssim",
    "simulate_critical_scaling",
    "simulate_observer",
    "split_screen_task",
    "task_dprime",
    "texture_strength",
    "vgg16_codec",
]
