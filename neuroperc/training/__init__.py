"""One training loop for every trainable model: mixed precision, several processes, exact resume.

`fit` is the loop, `TrainingResult` what it returns, `learning_rate_factor` the schedules it knows. Nothing else in the
package imports accelerate, and it is imported only when `fit` is called.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
