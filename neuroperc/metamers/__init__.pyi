from .discrimination import CriticalScalingFit as CriticalScalingFit
from .discrimination import CriticalScalingGroups as CriticalScalingGroups
from .discrimination import Power as Power
from .discrimination import Task as Task
from .discrimination import abx_task as abx_task
from .discrimination import count_correct as count_correct
from .discrimination import critical_scaling_power as critical_scaling_power
from .discrimination import fit_critical_scaling as fit_critical_scaling
from .discrimination import fit_critical_scaling_groups as fit_critical_scaling_groups
from .discrimination import oddity_task as oddity_task
from .discrimination import simulate_critical_scaling as simulate_critical_scaling
from .discrimination import simulate_observer as simulate_observer
from .discrimination import split_screen_task as split_screen_task
from .discrimination import task_dprime as task_dprime
from .models import EnergyModel as EnergyModel
from .models import LuminanceModel as LuminanceModel

__all__ = [
    "CriticalScalingFit",
    "CriticalScalingGroups",
    "EnergyModel",
    "LuminanceModel",
    "Power",
    "Task",
    "abx_task",
    "count_correct",
    "critical_scaling_power",
    "fit_critical_scaling",
    "fit_critical_scaling_groups",
    "oddity_task",
    "simulate_critical_scaling",
    "simulate_observer",
    "split_screen_task",
    "task_dprime",
]
