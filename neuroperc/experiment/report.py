"""The ledger: every claim of every result on one page."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .._check import atomic_path, check, fail
from .claims import Claim, Result

__all__ = ["ledger", "load_results", "read_result", "write_ledger"]


def load_results(folder: str | os.PathLike[str]) -> list[Result]:
    """Read every result of a folder, ordered by name, the paper's profile before smoke.

    Raises
    ------
    ValueError
        When the folder does not exist or a file is not a whole result.

    Examples
    --------
    >>> load_results("no/such/folder")
    Traceback (most recent call last):
    ValueError: results folder must be a folder that exists, got no/such/folder...
    """
    folder = Path(folder)
    check(folder.is_dir(), "results folder", "a folder that exists", str(folder), "Run `neuroperc run NAME` first.")
    return sorted(map(read_result, folder.glob("*.json")), key=lambda result: (result.name, result.profile))


def read_result(path: Path) -> Result:
    """Read one result, or say which file is not one."""
    try:
        return Result.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, KeyError, TypeError, ValueError) as error:
        fail("result", "a whole file written by `neuroperc run`", f"{path} ({error})", "Run the experiment again.")


def ledger(results_folder: str | os.PathLike[str]) -> str:
    """Return the claims of every result as one Markdown page.

    Parameters
    ----------
    results_folder
        Folder with the JSON files of `run_experiment`.

    Returns
    -------
    str
        A table for each experiment, its deviations beneath it.

    Raises
    ------
    ValueError
        As `load_results`.

    Examples
    --------
    >>> import tempfile
    >>> print(ledger(tempfile.mkdtemp()).splitlines()[0])
    # Ledger
    """
    results = load_results(results_folder)
    claims = [claim for result in results for claim in result.claims]
    lines = [
        "# Ledger",
        "",
        "Written by `neuroperc report` from the JSON files beside it; do not edit. A claim that does not hold stays, "
        "with its number.",
        "",
        f"{sum(c.holds is True for c in claims)} of {len(claims)} claims hold, "
        f"{sum(c.holds is False for c in claims)} do not, {sum(c.holds is None for c in claims)} were not measured.",
    ]
    for result in results:
        lines += ["", f"## {result.title}", "", *_ledger_table(result)]
    return "\n".join(lines) + "\n"


def write_ledger(results_folder: str | os.PathLike[str], *, dry_run: bool = False) -> tuple[Path, bool]:
    """Write ``LEDGER.md`` beside the results.

    Parameters
    ----------
    results_folder
        Folder with the JSON files of `run_experiment`.
    dry_run
        Write nothing, only compare.

    Returns
    -------
    path : pathlib.Path
        The ledger.
    current : bool
        Whether the file already said what the results say.

    Raises
    ------
    ValueError
        As `load_results`; also when a picture is not the one its result was written with.

    Examples
    --------
    >>> import tempfile
    >>> write_ledger(tempfile.mkdtemp(), dry_run=True)[1]
    False
    """
    folder = Path(results_folder)
    for result in load_results(folder):
        for name, digest in result.artifacts.items():
            found = hashlib.sha256((folder / name).read_bytes()).hexdigest() if (folder / name).is_file() else "no file"
            check(
                found == digest, name, f"the picture of its result, sha256 {digest[:12]}", found[:12],
                "Run it again, or `neuroperc run NAME --redraw`.",
            )  # fmt: skip
    text = ledger(folder)
    path = folder / "LEDGER.md"
    current = path.is_file() and path.read_text(encoding="utf-8") == text
    if not current and not dry_run:
        with atomic_path(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return path, current


def _ledger_table(result: Result) -> list[str]:
    origin = result.provenance
    lines = ["| claim | published | ours | holds | source | checked by |", "| --- | --- | --- | --- | --- | --- |"]
    verdict = {True: "yes", False: "**no**", None: "not measured"}
    for claim in result.claims:
        cells = (claim.text, _rule(claim), _ours(claim), verdict[claim.holds], claim.source, claim.verified)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    lines += ["", f"Profile `{result.profile}` of `{result.name}` on {origin.get('device')}, {origin.get('threads')} "]
    lines[-1] += f"threads, commit {origin.get('commit')}, {str(origin.get('date'))[:10]}. "
    lines[-1] += f"Deviations: {'; '.join(result.deviations) or 'none'}."
    return lines


def _rule(claim: Claim) -> str:
    if claim.ordering is not None:
        return claim.ordering
    if claim.published is not None:
        spread = f" ± {_number(claim.tolerance)}" if claim.tolerance else ""
        return f"{_number(claim.published)}{spread} {claim.unit}".strip()
    low = [] if claim.at_least is None else [f"≥ {_number(claim.at_least)}"]
    high = [] if claim.at_most is None else [f"≤ {_number(claim.at_most)}"]
    return f"{', '.join(low + high)} {claim.unit}".strip()


def _ours(claim: Claim) -> str:
    if claim.ours is None:
        return "–"
    limits = ""
    if claim.interval is not None:
        limits = f" [{_number(claim.interval[0])}, {_number(claim.interval[1])}] ({claim.interval_of})"
    return f"{_number(claim.ours)}{limits}"


def _number(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_number(each)}" for name, each in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_number(each) for each in value)
    return f"{value:.6g}"
