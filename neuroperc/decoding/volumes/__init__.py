"""The only door to nibabel and nilearn: NIfTI, GIFTI, MGH and the NSD folder as labelled responses, and back."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
