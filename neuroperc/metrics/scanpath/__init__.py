"""How alike two scanpaths are: MultiMatch, ScanMatch, edit distances, embedding distances; one pair or very many."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
