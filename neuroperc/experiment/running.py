"""Find an experiment, check its parameters, run it, judge its claims, write JSON and PNG."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import inspect
import json
import logging
import os
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from .._check import atomic_path, check, fail, one_of
from .claims import Claim, Measured, Result, claim_from, plain, validate
from .origin import provenance
from .report import read_result

__all__ = ["run_experiment"]

_log = logging.getLogger("neuroperc.experiment")


def run_experiment(
    name_or_path: str | os.PathLike[str],
    *,
    profile: str = "smoke",
    out: str | os.PathLike[str] | None = None,
    seed: int | None = None,
    device: str | None = None,
    progress: bool = False,
    redraw: bool = False,
) -> Result:
    """Run an experiment, judge its claims, and write ``<name>.<profile>.json`` and ``.png``.

    Parameters
    ----------
    name_or_path
        Name of a script in ``./experiments``, or the path of a script.
    profile
        Table of the TOML file that fills ``Config``: "smoke" or "paper".
    out
        Folder for the results; ``results`` beside the script by default.
    seed, device
        Replace the fields of the same name of ``Config``.
    progress
        Show a progress bar, when the script's ``run`` takes `progress`.
    redraw
        Measure nothing: draw the stored result again with the script as it is now. Its numbers and provenance stay;
        ``drawn`` (commit and date) is added.

    Returns
    -------
    Result
        With every claim judged; nothing raises because a claim does not hold.

    Raises
    ------
    ValueError
        When the experiment, the profile or a parameter is unknown, a claim is not measured, the profile does not
        list its deviations, or there is no result to redraw.
    OSError
        When the results cannot be written; earlier results stay untouched.

    References
    ----------
    Each claim of the TOML file names its own source.

    Examples
    --------
    >>> run_experiment("nothing_of_the_kind")
    Traceback (most recent call last):
    ValueError: experiment must be a script in ./experiments or the path of one, got nothing_of_the_kind...
    """
    script = _find_script(name_or_path)
    folder = Path(out) if out is not None else script.parent / "results"
    if redraw:
        check(
            seed is None and device is None, "seed and device", "left out with redraw", (seed, device), "Run it again."
        )
        return _redraw(script, profile, folder)
    table = _read_table(script.with_suffix(".toml"), profile)
    module = _load_script(script)
    config = _config(module, table[profile], profile, {"seed": seed, "device": device})
    _log.info("running %s, profile %s", script.stem, profile)
    arguments = {"progress": progress} if "progress" in inspect.signature(module.run).parameters else {}
    returned = module.run(config, **arguments)
    measured = returned if isinstance(returned, Measured) else Measured(returned)
    result = Result(
        name=script.stem,
        title=table["title"],
        profile=profile,
        config=plain(dataclasses.asdict(config)),
        claims=_judge(table["claims"], measured),
        deviations=(*table["deviations"][profile], *measured.deviations),
        values=plain(measured.values),
        data=plain(measured.data),
        provenance=provenance(script, device=getattr(config, "device", None)),
        summary=measured.summary,
    )
    return _write(result, module, folder)


def _redraw(script: Path, profile: str, folder: Path) -> Result:
    result = read_result(folder / f"{script.stem}.{profile}.json")
    now = provenance(script)
    drawn = {"commit": now["commit"], "date": now["date"]}
    result = dataclasses.replace(result, provenance={**result.provenance, "drawn": drawn})
    return _write(result, _load_script(script), folder)


def _find_script(name_or_path: str | os.PathLike[str]) -> Path:
    named = Path("experiments") / f"{name_or_path}.py"
    path = named if named.is_file() else Path(name_or_path)
    known = ", ".join(sorted(p.stem for p in Path("experiments").glob("*.toml")))
    outside = "There is no folder ./experiments here: go to a checkout of the repository, or give the path of a script."
    check(
        path.is_file() and path.suffix == ".py",
        "experiment",
        "a script in ./experiments or the path of one",
        str(name_or_path),
        f"There are {known}." if known else outside,
    )
    return path.resolve()


def _read_table(path: Path, profile: str) -> dict[str, Any]:
    check(path.is_file(), "experiment", "a script with a TOML file beside it", str(path), "Write its claims there.")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        fail("experiment table", "valid TOML", f"{path.name}: {error}")
    parts = {"title", "deviations", "claims"}
    for part in sorted(parts):
        check(part in table, f"{path.name}", f"a table with {part!r}", sorted(table), "See neuroperc.experiment.")
    one_of("profile", profile, [key for key in table if key not in parts])
    check(
        profile in table["deviations"],
        f"{path.name} [deviations]",
        f"a list for the profile {profile!r}",
        sorted(table["deviations"]),
        f"Write `{profile} = []` when there are none.",
    )
    return table


def _load_script(script: Path) -> ModuleType:
    name = f"neuroperc_experiment_{script.stem}"
    spec = importlib.util.spec_from_file_location(name, script)
    if spec is None or spec.loader is None:
        fail("experiment", "a Python script", str(script))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up to resolve annotations
    spec.loader.exec_module(module)
    for part in ("Config", "run", "plot"):
        check(hasattr(module, part), script.name, "a script with Config, run and plot", f"no {part}")
    return module


def _config(module: ModuleType, given: Mapping[str, Any], profile: str, replace: Mapping[str, Any]) -> Any:
    known = {f.name for f in dataclasses.fields(module.Config)}
    asked = {name: value for name, value in replace.items() if value is not None}
    for name, value in asked.items():
        check(name in known, name, f"left out: this experiment's Config has no {name}", value)
    return validate(module.Config, {**given, **asked}, f"[{profile}]")


def _judge(table: Mapping[str, Mapping[str, Any]], measured: Measured) -> tuple[Claim, ...]:
    claims = []
    for key, values in table.items():
        check(
            key in measured.values,
            f"claims.{key}",
            "measured by run()",
            f"only {', '.join(measured.values)}",
            "Return None for a claim that this profile does not measure.",
        )
        claim = claim_from({"key": key, **values})
        claims.append(claim.measured(measured.values[key], measured.intervals.get(key), measured.interval_of))
    return tuple(claims)


def _write(result: Result, module: ModuleType, folder: Path) -> Result:
    check(
        folder.parent.is_dir(), "out", "a folder, or a new one in a folder that exists", str(folder), "Make it first."
    )
    folder.mkdir(exist_ok=True)
    picture = folder / f"{result.name}.{result.profile}.png"
    figure = module.plot(result)
    with atomic_path(picture) as temporary:
        # No date or version inside, so that the same pixels give the same bytes.
        figure.savefig(temporary, format="png", dpi=150, metadata={"Software": None})
    digest = hashlib.sha256(picture.read_bytes()).hexdigest()
    result = dataclasses.replace(result, artifacts={picture.name: digest})
    with atomic_path(folder / f"{result.name}.{result.profile}.json") as temporary:
        temporary.write_text(json.dumps(result.to_dict(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return result
