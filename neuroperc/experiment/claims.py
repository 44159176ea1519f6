"""What an experiment claims, measures and returns: records that survive JSON."""

from __future__ import annotations

import dataclasses
import difflib
import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .._check import check, fail

__all__ = ["Claim", "Measured", "Result", "claim_from", "plain", "validate"]


@dataclass(frozen=True)
class Claim:
    """One figure of a paper, the rule that judges it, and what we measured.

    Exactly one rule is given: `published` with `tolerance`, `ordering`, or the bounds `at_least` / `at_most`.

    Parameters
    ----------
    key
        Short name, unique within an experiment.
    text
        The claim in words.
    source
        Paper with figure, table or equation.
    verified
        How the published value was checked ("paper", "abstract", "code", "derived"), or "no".
    unit
        Unit of the numbers.
    published
        Published number, or a sequence of numbers.
    tolerance
        Largest absolute difference that still counts as agreement.
    ordering
        Names joined by ``<``, such as ``"v1 < v2 < v4"``; then `ours` maps each name to a number.
    at_least, at_most
        Bounds of `ours`.
    ours
        What was measured; None when this profile did not measure it.
    interval
        Lower and upper limit about `ours`.
    interval_of
        What the interval is, such as "95 % interval over pictures".

    Raises
    ------
    ValueError
        When no rule or more than one is given, or an interval does not say what it is.

    Examples
    --------
    >>> claim = Claim("count", "windows a ring", "Methods", "code", published=25, tolerance=0)
    >>> claim.measured(25).holds
    True
    >>> claim.measured(26).holds
    False
    """

    key: str
    text: str
    source: str
    verified: str
    unit: str = ""
    published: float | tuple[float, ...] | None = None
    tolerance: float | None = None
    ordering: str | None = None
    at_least: float | None = None
    at_most: float | None = None
    ours: float | tuple[float, ...] | dict[str, float] | None = None
    interval: tuple[float, float] | None = None
    interval_of: str = ""

    def __post_init__(self) -> None:
        """Check that one rule judges the claim."""
        near = self.published is not None and self.tolerance is not None
        bounded = self.at_least is not None or self.at_most is not None
        rules = [near, self.ordering is not None, bounded]
        check(
            sum(rules) == 1,
            f"claims.{self.key}",
            "judged by one rule: published + tolerance, ordering, or at_least / at_most",
            f"{sum(rules)} rules",
            "A published value without a tolerance cannot be judged.",
        )
        if self.tolerance is not None:
            check(self.tolerance >= 0, f"claims.{self.key}.tolerance", "0 or more", self.tolerance)
        if self.ordering is not None:
            _names_in_order(self.key, self.ordering)
        check(
            self.interval is None or self.interval_of,
            f"claims.{self.key}.interval_of",
            "given with an interval",
            self.interval_of,
            "Every error bar names what it is: SD, SEM, or the 95 % interval of what.",
        )

    def measured(self, ours: object, interval: Sequence[float] | None = None, interval_of: str = "") -> Claim:
        """Return this claim with what we measured."""
        limits = None if interval is None else (float(interval[0]), float(interval[1]))
        return dataclasses.replace(self, ours=plain(ours), interval=limits, interval_of=interval_of if limits else "")

    @property
    def holds(self) -> bool | None:
        """Whether our value agrees; None when it was not measured."""
        if self.ours is None:
            return None
        if self.ordering is not None:
            names = _names_in_order(self.key, self.ordering)
            check(
                isinstance(self.ours, dict) and set(names) <= set(self.ours),
                f"claims.{self.key}",
                f"measured as a mapping with {', '.join(names)}",
                self.ours,
            )
            values = [self.ours[name] for name in names]  # type: ignore[index, call-overload]
            return all(a < b for a, b in itertools.pairwise(values))
        ours = _vector(f"claims.{self.key}", self.ours)
        if self.published is None:
            low = -math.inf if self.at_least is None else self.at_least
            high = math.inf if self.at_most is None else self.at_most
            return all(low <= value <= high for value in ours)
        published = _vector(f"claims.{self.key}", self.published)
        check(
            len(ours) == len(published),
            f"claims.{self.key}",
            f"measured as {len(published)} numbers, as many as were published",
            len(ours),
        )
        # Decimal fractions such as 0.3 - 0.2 must not fail a tolerance of 0.1 by rounding.
        slack = float(self.tolerance or 0) + 1e-12
        return all(abs(a - b) <= slack for a, b in zip(ours, published, strict=True))


@dataclass(frozen=True)
class Measured:
    """What the `run` of an experiment returns.

    Parameters
    ----------
    values
        For every claim's key a number, a sequence of numbers, a mapping (for an ordering), or None when this
        profile does not measure it. Further keys are stored too.
    intervals
        Lower and upper limit for some keys.
    interval_of
        What the intervals are, such as "95 % interval over pictures".
    data
        Arrays that `plot` needs, stored in the JSON file.
    deviations
        Departures from the paper that only the run knows, such as "not run on a GPU".
    summary
        One line with the main numbers, which the command line prints last.

    Examples
    --------
    >>> Measured({"count": 25}).values["count"]
    25
    """

    values: Mapping[str, Any]
    intervals: Mapping[str, Sequence[float]] = field(default_factory=dict)
    interval_of: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    deviations: Sequence[str] = ()
    summary: str = ""


@dataclass(frozen=True)
class Result:
    """The outcome of one experiment in one profile: plain values that survive JSON.

    Parameters
    ----------
    name, title, profile
        The experiment and which parameters it ran with.
    config
        Those parameters.
    claims
        Each with our value.
    deviations
        Every departure from the paper, printed where the numbers are printed.
    values, data
        Everything measured, and the arrays behind the figure.
    artifacts
        File name to sha256.
    provenance
        Commit, versions, device, date, threads.
    summary
        One line with the main numbers.

    Examples
    --------
    >>> claim = Claim("count", "windows a ring", "Methods", "code", published=25, tolerance=0).measured(25)
    >>> result = Result("windows", "Windows", "smoke", {}, (claim,), ("reduced design",))
    >>> Result.from_dict(result.to_dict()) == result
    True
    """

    name: str
    title: str
    profile: str
    config: dict[str, Any]
    claims: tuple[Claim, ...]
    deviations: tuple[str, ...]
    values: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    artifacts: dict[str, str] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    summary: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; each claim also says whether it holds."""
        record: dict[str, Any] = {
            f.name: plain(getattr(self, f.name)) for f in dataclasses.fields(self) if f.name != "claims"
        }
        record["claims"] = [
            {k: plain(v) for k, v in dataclasses.asdict(claim).items() if v not in (None, "")} | {"holds": claim.holds}
            for claim in self.claims
        ]
        return record

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Result:
        """Return the result that `to_dict` wrote."""
        claims = tuple(claim_from({k: v for k, v in claim.items() if k != "holds"}) for claim in record["claims"])
        # Results written before a field existed lack it.
        rest = {f.name: record[f.name] for f in dataclasses.fields(cls) if f.name != "claims" and f.name in record}
        rest["deviations"] = tuple(rest["deviations"])
        return cls(claims=claims, **rest)


def validate(kind: type, values: Mapping[str, Any], where: str) -> Any:
    """Return `kind(**values)` with types checked by pydantic, or raise the house message."""
    import pydantic

    strict = pydantic.with_config(pydantic.ConfigDict(extra="forbid"))(kind)
    adapter: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(strict)
    try:
        return adapter.validate_python(dict(values))
    except pydantic.ValidationError as error:
        # A misspelt name explains the missing one, so it is told first.
        first = min(error.errors(), key=lambda each: each["type"] != "unexpected_keyword_argument")
        name = ".".join(str(part) for part in first["loc"]) or kind.__name__
        if first["type"] == "unexpected_keyword_argument":
            known = [f.name for f in dataclasses.fields(kind)]
            close = difflib.get_close_matches(name, known, n=1)
            remedy = f"Did you mean {close[0]}?" if close else f"{kind.__name__} has {', '.join(known)}."
            fail(where, f"made of fields of {kind.__name__}", f"{name} = {first['input']!r}", remedy)
        if first["type"] == "missing":
            fail(f"{where} {name}", "given", "nothing", f"Add {name} to {where}.")
        fail(f"{where} {name}", "valid", first["input"], first["msg"] + ".")


def claim_from(values: Mapping[str, Any]) -> Claim:
    """Return the claim that a table of a TOML or JSON file describes."""
    claim: Claim = validate(Claim, values, f"claims.{values.get('key', '?')}")
    return claim


def _names_in_order(key: str, ordering: str) -> list[str]:
    names = [name.strip() for name in ordering.split("<")]
    legal = len(names) > 1 and all(re.fullmatch(r"[A-Za-z0-9_.]+", name) for name in names)
    check(legal, f"claims.{key}.ordering", "names joined by <, such as 'v1 < v2'", ordering)
    return names


def _vector(name: str, value: Any) -> list[float]:
    try:
        return [float(each) for each in (value if isinstance(value, list | tuple) else [value])]
    except (TypeError, ValueError):
        fail(name, "measured as a number or a sequence of numbers", value)


def plain(value: Any) -> Any:
    """Return JSON types: arrays become lists, NaN and infinity become the strings that float() reads."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Path):
        return value.name
    return value
