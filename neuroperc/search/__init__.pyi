from .priority import ChancePriority as ChancePriority
from .priority import EccNet as EccNet
from .priority import PixelPriority as PixelPriority
from .priority import TemplatePriority as TemplatePriority
from .simulation import simulate as simulate

__all__ = [
    "ChancePriority",
    "EccNet",
    "PixelPriority",
    "TemplatePriority",
    "simulate",
]
