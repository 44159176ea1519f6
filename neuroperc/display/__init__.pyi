from .calibration import Calibration as Calibration
from .calibration import DacFrames as DacFrames
from .screen import Display as Display

__all__ = ["Calibration", "DacFrames", "Display"]
