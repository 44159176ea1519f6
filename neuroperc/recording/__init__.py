"""From a model and stimuli to labelled responses: the one bridge between torch and xarray.

`record` runs a model over a StimulusSet and returns what its layers answered; `list_layers` says beforehand what there
is and how large it gets.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
