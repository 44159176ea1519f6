from .observers import OBSERVERS as OBSERVERS
from .observers import REGION_LAYERS as REGION_LAYERS
from .observers import REGIONS as REGIONS
from .observers import Observer as Observer
from .observers import region_layers as region_layers
from .preprocess import Preprocess as Preprocess
from .stories import TinyLM as TinyLM
from .text import ConSE as ConSE
from .text import TextEncoder as TextEncoder
from .text import WordPiece as WordPiece
from .text import imagenet_classes as imagenet_classes
from .zoo import Net as Net
from .zoo import efficientnet_lite0 as efficientnet_lite0
from .zoo import layers as layers
from .zoo import load as load
from .zoo import names as names

__all__ = [
    "OBSERVERS",
    "REGIONS",
    "REGION_LAYERS",
    "ConSE",
    "Net",
    "Observer",
    "Preprocess",
    "TextEncoder",
    "TinyLM",
    "WordPiece",
    "efficientnet_lite0",
    "imagenet_classes",
    "layers",
    "load",
    "names",
    "region_layers",
]
