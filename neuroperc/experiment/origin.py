"""What a number depends on besides its code."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

__all__ = ["provenance"]

_PACKAGES = ("numpy", "scipy", "torch", "torchvision", "timm", "xarray", "pandas", "scikit-learn", "matplotlib")


def provenance(script: str | os.PathLike[str] | None = None, *, device: str | None = None) -> dict[str, Any]:
    """Return what a number depends on besides its code: commit, versions, device, threads, date.

    Parameters
    ----------
    script
        File whose checkout gives the commit; this package by default.
    device
        Torch device the work ran on; "cpu" when None.

    Returns
    -------
    dict
        ``neuroperc python platform versions commit device threads date``. `commit` is None outside a checkout and
        ends in ``+changes`` when tracked files differ from it.

    Examples
    --------
    >>> sorted(provenance())[:3]
    ['commit', 'date', 'device']
    """
    import torch

    versions: dict[str, str | None] = {}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    name = device or "cpu"
    cuda = name.startswith("cuda") and torch.cuda.is_available()
    from .. import __version__

    return {
        "neuroperc": __version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "versions": versions,
        "commit": _commit(Path(script or __file__).resolve().parent),
        "device": f"{name} ({torch.cuda.get_device_name(name)})" if cuda else name,
        "threads": torch.get_num_threads(),
        "date": datetime.datetime.now(datetime.UTC).replace(microsecond=0).isoformat(),
    }


def _commit(folder: Path) -> str | None:
    def git(*words: str) -> str:
        command = ["git", "-C", str(folder), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        head = git("rev-parse", "--short=12", "HEAD")
        # Results are written by runs: their own changes say nothing about the code that made them.
        changed = git("status", "--porcelain", "--untracked-files=no", "--", ":/", ":(top,exclude)*results/*")
    except (OSError, subprocess.CalledProcessError):
        return None
    return head + ("+changes" if changed else "")
