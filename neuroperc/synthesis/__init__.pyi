from .metamer import Metamer as Metamer
from .optimize import synthesize as synthesize

__all__ = ["Metamer", "synthesize"]
