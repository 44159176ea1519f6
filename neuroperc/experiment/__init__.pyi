from .claims import Claim as Claim
from .claims import Measured as Measured
from .claims import Result as Result
from .origin import provenance as provenance
from .report import ledger as ledger
from .report import load_results as load_results
from .report import write_ledger as write_ledger
from .running import run_experiment as run_experiment

__all__ = [
    "Claim",
    "Measured",
    "Result",
    "ledger",
    "load_results",
    "provenance",
    "run_experiment",
    "write_ledger",
]
