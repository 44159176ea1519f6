from .agreement import FlowAgreement as FlowAgreement
from .agreement import flow_agreement as flow_agreement
from .agreement import response_consistency as response_consistency
from .harness import FlowReport as FlowReport
from .harness import flow_at as flow_at
from .harness import flow_report as flow_report
from .harness import huperflow as huperflow
from .harness import kitti_session as kitti_session
from .harness import second_order as second_order
from .harness import sintel_slow as sintel_slow
from .harness import temporal_flow as temporal_flow

__all__ = [
    "FlowAgreement",
    "FlowReport",
    "flow_agreement",
    "flow_at",
    "flow_report",
    "huperflow",
    "kitti_session",
    "response_consistency",
    "second_order",
    "sintel_slow",
    "temporal_flow",
]
