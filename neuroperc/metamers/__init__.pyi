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
    "EnergyModel",
    "FeatureDecoder",
    "LuminanceModel",
    "NeuroFovea",
    "NeuroFoveaWindows",
    "PyramidCodec",
    "StrengthFit",
    "TextureModel",
    "colored_noise",
    "fit_texture_strength",
    "neurofovea_codec",
    "neurofovea_windows",
    "ring_ssim",
    "texture_strength",
    "vgg16_codec",
]
