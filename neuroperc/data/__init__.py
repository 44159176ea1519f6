"""What goes in and comes out: stimuli, responses, fixations, and one reader a file format."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
