from .tour import run_demo as run_demo

__all__ = ["run_demo"]
