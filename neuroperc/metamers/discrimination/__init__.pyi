from .fitting import CriticalScalingFit as CriticalScalingFit
from .fitting import fit_critical_scaling as fit_critical_scaling

__all__ = ["CriticalScalingFit", "fit_critical_scaling"]
