from .energy import EnergyPyramid as EnergyPyramid
from .energy import MotionEnergy as MotionEnergy
from .energy import TemporalFilters as TemporalFilters
from .energy import temporal_filters as temporal_filters
from .perceived import FlowAgreement as FlowAgreement
from .perceived import FlowReport as FlowReport
from .perceived import flow_agreement as flow_agreement
from .perceived import flow_at as flow_at
from .perceived import flow_report as flow_report
from .perceived import huperflow as huperflow
from .perceived import kitti_session as kitti_session
from .perceived import response_consistency as response_consistency
from .perceived import second_order as second_order
from .perceived import sintel_slow as sintel_slow
from .perceived import temporal_flow as temporal_flow
from .v1mt import SimoncelliHeeger as SimoncelliHeeger

__all__ = [
    "EnergyPyramid",
    "FlowAgreement",
    "FlowReport",
    "MotionEnergy",
    "SimoncelliHeeger",
    "TemporalFilters",
    "flow_agreement",
    "flow_at",
    "flow_report",
    "huperflow",
    "kitti_session",
    "response_consistency",
    "second_order",
    "sintel_slow",
    "temporal_filters",
    "temporal_flow",
]
