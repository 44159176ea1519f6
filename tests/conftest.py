"""Fixtures every test may use."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder where the data sets lie; tests that need real data skip without it."""
    folder = os.environ.get("NEUROPERC_DATA")
    if not folder:
        pytest.skip("NEUROPERC_DATA is unset: point it to the folder where your data sets lie")
    path = Path(folder)
    if not path.is_dir():
        pytest.fail(f"NEUROPERC_DATA must be a folder, got {folder}")
    return path
