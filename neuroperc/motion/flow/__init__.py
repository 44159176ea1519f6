"""TwoStageMotion: trainable motion energy sensing, recurrent attention over a motion graph, and a flow decoder."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
