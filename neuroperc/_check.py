"""The error template, a handful of checks, and the one way a file is written.

Every message reads *"{name} must be {rule}, got {value}. {remedy}"*: what is wrong, what came in, what to do.
"""

from __future__ import annotations

import numbers
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import numpy as np


def fail(name: str, rule: str, value: object, remedy: str = "", error: type[Exception] = ValueError) -> NoReturn:
    """Raise `error` with the house message.

    Examples
    --------
    >>> fail("scaling", "positive", -1, "Typical values are 0.25 to 0.5.")
    Traceback (most recent call last):
    ValueError: scaling must be positive, got -1. Typical values are 0.25 to 0.5.
    """
    shown = value if isinstance(value, str) else repr(value)
    if len(shown) > 300:
        shown = shown[:297] + "..."
    raise error(f"{name} must be {rule}, got {shown}. {remedy}".rstrip())


def check(
    ok: object, name: str, rule: str, value: object, remedy: str = "", error: type[Exception] = ValueError
) -> None:
    """Raise the house message unless `ok`."""
    if not ok:
        fail(name, rule, value, remedy, error)


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        fail(name, "a number", value, f"Give {name} as one int or float.", TypeError)
    return float(value)


def positive(name: str, value: Any, remedy: str = "") -> float:
    """Return `value` as a float; raise unless it is finite and above zero."""
    number = _number(name, value)
    check(np.isfinite(number) and number > 0, name, "a finite number above 0", value, remedy)
    return number


def non_negative(name: str, value: Any, remedy: str = "") -> float:
    """Return `value` as a float; raise unless it is finite and not below zero."""
    number = _number(name, value)
    check(np.isfinite(number) and number >= 0, name, "a finite number of 0 or more", value, remedy)
    return number


def integer(name: str, value: Any, minimum: int = 1, remedy: str = "") -> int:
    """Return `value` as an int; raise unless it is a whole number of at least `minimum`."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole:
        fail(name, f"a whole number of at least {minimum}", value, remedy, TypeError)
    check(int(value) >= minimum, name, f"a whole number of at least {minimum}", value, remedy)
    return int(value)


def one_of(name: str, value: Any, options: Sequence[Any]) -> Any:
    """Return `value`; raise unless it is one of `options`, and list them."""
    check(value in list(options), name, "one of " + ", ".join(map(repr, options)), value)
    return value


def pair(name: str, value: Any, what: str = "(height, width)") -> tuple[float, float]:
    """Return two finite floats."""
    try:
        first, second = (float(v) for v in value)
    except (TypeError, ValueError):
        fail(name, f"two numbers {what}", value, error=TypeError)
    check(np.isfinite(first) and np.isfinite(second), name, f"two finite numbers {what}", value)
    return first, second


def whole_pair(name: str, value: Any) -> tuple[int, int]:
    """Return two whole numbers of at least 1, such as a picture's (height, width)."""
    first, second = pair(name, value)
    whole = first == int(first) and second == int(second) and min(first, second) >= 1
    check(whole, name, "two whole numbers of at least 1", value)
    return int(first), int(second)


def finite(name: str, array: Any, remedy: str = "Remove or replace NaN and infinite values first.") -> None:
    """Raise when a NumPy array or torch tensor holds NaN or infinity; say how many and where the first one is."""
    bad = ~np.isfinite(array) if not hasattr(array, "isfinite") else ~array.isfinite()
    count = int(bad.sum())
    if count:
        flat = np.asarray(bad.cpu() if hasattr(bad, "cpu") else bad)
        first = tuple(int(i) for i in np.argwhere(flat)[0])
        fail(name, "finite", f"{count} NaN or infinite values, the first at index {first}", remedy)


def as_rng(rng: int | np.random.Generator | None) -> np.random.Generator:
    """Return a NumPy generator from a seed or a generator.

    Raises
    ------
    TypeError
        When `rng` is neither: results must be reproducible, so there is no hidden default.
    """
    if isinstance(rng, np.random.Generator):
        return rng
    if isinstance(rng, numbers.Integral) and not isinstance(rng, bool):
        check(int(rng) >= 0, "rng", "a seed of 0 or more", rng)
        return np.random.default_rng(int(rng))
    fail("rng", "an int or a numpy.random.Generator", rng, "Pass rng=0 for a reproducible run.", TypeError)


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it on success, remove it on any failure.

    A reader therefore sees the old file or the whole new one, never half of it.

    Raises
    ------
    ValueError
        When the folder does not exist.
    OSError
        When the disk is full or the folder cannot be written; the file that was there is untouched.
    """
    target = Path(path)
    if not target.parent.is_dir():
        fail("path", "in a folder that exists", str(target), f"Make the folder {target.parent} first.")
    temporary = None
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.stem}-", suffix=target.suffix, dir=target.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(target)
    except OSError as error:
        raise OSError(
            error.errno,
            f"{target} could not be written ({error.strerror}); nothing was changed. Free space or "
            "choose another folder",
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
