from .fitting import CriticalScalingFit as CriticalScalingFit
from .fitting import fit_critical_scaling as fit_critical_scaling
from .groups import CriticalScalingGroups as CriticalScalingGroups
from .groups import fit_critical_scaling_groups as fit_critical_scaling_groups
from .observers import count_correct as count_correct
from .observers import simulate_observer as simulate_observer
from .observers import task_dprime as task_dprime
from .power import Power as Power
from .power import critical_scaling_power as critical_scaling_power
from .power import simulate_critical_scaling as simulate_critical_scaling
from .tasks import Task as Task
from .tasks import abx_task as abx_task
from .tasks import oddity_task as oddity_task
from .tasks import split_screen_task as split_screen_task

__all__ = [
    "CriticalScalingFit",
    "CriticalScalingGroups",
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
