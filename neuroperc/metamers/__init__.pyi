from .models import EnergyModel as EnergyModel
from .models import LuminanceModel as LuminanceModel

__all__ = ["EnergyModel", "LuminanceModel"]
