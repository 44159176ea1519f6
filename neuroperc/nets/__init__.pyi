from .preprocess import Preprocess as Preprocess
from .zoo import Net as Net
from .zoo import efficientnet_lite0 as efficientnet_lite0
from .zoo import layers as layers
from .zoo import load as load
from .zoo import names as names

__all__ = ["Net", "Preprocess", "efficientnet_lite0", "layers", "load", "names"]
