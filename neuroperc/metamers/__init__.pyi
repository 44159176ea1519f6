from . import emergent as emergent
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

__all__ = [
    "ConvCodec",
    "EnergyModel",
    "FeatureDecoder",
    "FoveationBlur",
    "LuminanceModel",
    "NeuroFovea",
    "NeuroFoveaWindows",
    "PyramidCodec",
    "StrengthFit",
    "UniformBlur",
    "colored_noise",
    "emergent",
    "fit_texture_strength",
    "input_systems",
    "match_distortion",
    "match_input_systems",
    "neurofovea_codec",
    "neurofovea_windows",
    "ring_ssim",
    "texture_strength",
    "vgg16_codec",
]
