"""Figures: functions take data and `ax`, and return the Axes. The only package that imports matplotlib.

Nothing here touches pyplot or global settings: figures are objects with an Agg canvas, and `STYLE` applies inside
``with neuroperc.plot.style():`` or to figures made by `figure`.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
