from .models import EnergyModel as EnergyModel
from .models import LuminanceModel as LuminanceModel
from .texture import TextureModel as TextureModel

__all__ = ["EnergyModel", "LuminanceModel", "TextureModel"]
