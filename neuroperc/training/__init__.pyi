from .loop import TrainingResult as TrainingResult
from .loop import fit as fit
from .schedules import learning_rate_factor as learning_rate_factor

__all__ = ["TrainingResult", "fit", "learning_rate_factor"]
