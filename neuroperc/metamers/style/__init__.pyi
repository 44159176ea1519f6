from .calibrate import StrengthFit as StrengthFit
from .calibrate import fit_texture_strength as fit_texture_strength
from .calibrate import ring_ssim as ring_ssim
from .codecs import ConvCodec as ConvCodec
from .codecs import PyramidCodec as PyramidCodec
from .codecs import neurofovea_codec as neurofovea_codec
from .codecs import vgg16_codec as vgg16_codec
from .networks import FeatureDecoder as FeatureDecoder
from .render import NeuroFovea as NeuroFovea
from .render import colored_noise as colored_noise
from .render import texture_strength as texture_strength
from .windows import NeuroFoveaWindows as NeuroFoveaWindows
from .windows import neurofovea_windows as neurofovea_windows

__all__ = [
    "ConvCodec",
    "FeatureDecoder",
    "NeuroFovea",
    "NeuroFoveaWindows",
    "PyramidCodec",
    "StrengthFit",
    "colored_noise",
    "fit_texture_strength",
    "neurofovea_codec",
    "neurofovea_windows",
    "ring_ssim",
    "texture_strength",
    "vgg16_codec",
]
