"""What every metric shares: one array namespace, float64 inside, and the few calls the array API lacks.

A metric is written once. `unpack` finds whether its arrays are NumPy or torch (or any other array-API library),
`double` widens them for the sums, and `restore` gives the answer back in the floating type that came in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeVar

import array_api_compat
import numpy as np

from .._check import check, fail, finite, one_of

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

ArrayT = TypeVar("ArrayT", "NDArray[Any]", "Tensor")
NanPolicy = Literal["raise", "omit", "propagate"]


def unpack(**named: Any) -> tuple[Any, list[Any]]:
    """Return the namespace and the arrays; anything that is not an array already (a list, a labelled array) is NumPy.

    Raises
    ------
    TypeError
        When NumPy and torch are mixed, devices differ, or values are not real numbers.
    ValueError
        When an array is empty.
    """
    values = [v if array_api_compat.is_array_api_obj(v) else np.asarray(v) for v in named.values()]
    for name, value in zip(named, values, strict=True):
        if isinstance(value, np.ndarray) and value.dtype.kind not in "fiub":
            fail(name, "an array of real numbers", f"dtype {value.dtype}", "Convert it to float first.", TypeError)
        check(0 not in value.shape, name, "not empty", f"shape {tuple(value.shape)}", "Give at least one value.")
    try:
        xp = array_api_compat.array_namespace(*values)
    except TypeError:
        kinds = {name: type(v).__module__.split(".")[0] for name, v in zip(named, values, strict=True)}
        fail("the arrays", "of one library", str(kinds), "Convert them all to NumPy or all to torch.", TypeError)
    devices = {str(array_api_compat.device(v)) for v in values}
    check(len(devices) == 1, "the arrays", "on one device", sorted(devices), "Move them with .to(device).", TypeError)
    for name, value in zip(named, values, strict=True):
        if xp.isdtype(value.dtype, "complex floating"):
            fail(name, "an array of real numbers", f"dtype {value.dtype}", "Take .real or abs() first.", TypeError)
    return xp, values


def floating(xp: Any, *arrays: Any) -> Any:
    """Return the floating type of the answer: the widest that came in, at least float32; float64 for whole numbers."""
    kinds = [a.dtype if xp.isdtype(a.dtype, "real floating") else xp.float64 for a in arrays]
    return xp.result_type(xp.float32, *kinds)


def double(xp: Any, x: Any) -> Any:
    """Return `x` in float64, in which every sum is taken."""
    return xp.astype(x, xp.float64, copy=False)


def restore(xp: Any, x: Any, dtype: Any) -> Any:
    """Return the answer in the type that came in; a NumPy scalar becomes a 0-d array, as in torch."""
    # torch.asarray is left out: what it does with requires_grad depends on the version.
    return xp.astype(x if array_api_compat.is_torch_array(x) else xp.asarray(x), dtype, copy=False)


def same_shape(**named: Any) -> None:
    """Raise unless all arrays have one shape."""
    shapes = {name: tuple(v.shape) for name, v in named.items()}
    names = " and ".join(shapes)
    check(len(set(shapes.values())) == 1, names, "of one shape", shapes, "Align the rows and columns first.")


def missing(xp: Any, policy: NanPolicy, **named: Any) -> Any:
    """Return None, or with ``policy="omit"`` the boolean array that is true where any array is NaN.

    Infinite values are an error whatever the policy, since no statistic survives them.
    """
    one_of("nan_policy", policy, ("raise", "omit", "propagate"))
    found = None
    for name, value in named.items():
        if not xp.isdtype(value.dtype, "real floating"):
            continue
        if policy == "raise":
            finite(name, value, 'Remove them, or pass nan_policy="omit" to leave out incomplete rows per column.')
            continue
        finite(name, xp.where(xp.isnan(value), xp.zeros_like(value), value), "Replace infinite values first.")
        found = xp.isnan(value) if found is None else found | xp.isnan(value)
    return found if policy == "omit" and found is not None and bool(xp.any(found)) else None


def complete(xp: Any, **named: Any) -> None:
    """Raise when a value is NaN or infinite, for functions that have no nan_policy."""
    for name, value in named.items():
        if xp.isdtype(value.dtype, "real floating"):
            finite(name, value, "Remove or fill in incomplete rows first.")


def divide(xp: Any, a: Any, b: Any, ok: Any) -> Any:
    """Return a / b where `ok` and NaN elsewhere, with a finite gradient in both cases."""
    one = xp.ones_like(b)
    return xp.where(ok, a / xp.where(ok, b, one), xp.full_like(one, xp.nan))


def constant(xp: Any, sum_squares: Any, mean: Any, n: Any) -> Any:
    """Return where values whose centred sum of squares this is differ by no more than their own rounding."""
    rounding = 16 * xp.finfo(xp.float64).eps * xp.abs(mean)
    return sum_squares <= n * rounding * rounding


def running_max(xp: Any, x: Any) -> Any:
    """Return the running maximum along the last axis (the array API has none)."""
    return x.cummax(-1).values if array_api_compat.is_torch_array(x) else np.maximum.accumulate(x, axis=-1)


def take_along(xp: Any, x: Any, index: Any) -> Any:
    """Gather along the last axis (in the array API only since 2024.12)."""
    return xp.take_along_dim(x, index, -1) if array_api_compat.is_torch_array(x) else np.take_along_axis(x, index, -1)


def special(x: Any) -> Any:
    """Return the module that holds `ndtr`, `ndtri` and `expit` for this array."""
    if array_api_compat.is_torch_array(x):
        import torch

        return torch.special
    import scipy.special

    return scipy.special


def nan_median(xp: Any, x: Any, axis: int) -> Any:
    """Return the median of what is not NaN: the mean of the two middle values (torch's own takes the lower one)."""
    ordered = xp.sort(xp.moveaxis(x, axis, -1), axis=-1)
    n = xp.sum(xp.astype(~xp.isnan(ordered), xp.int64), axis=-1, keepdims=True)
    top = xp.clip(n - 1, min=0)
    middle = (take_along(xp, ordered, top // 2) + take_along(xp, ordered, (top + 1) // 2)) / 2
    return middle[..., 0]


def nan_mean(xp: Any, x: Any, axis: int) -> Any:
    """Return the mean of what is not NaN, and NaN where nothing is left."""
    ok = ~xp.isnan(x)
    n = xp.sum(xp.astype(ok, xp.float64), axis=axis)
    return divide(xp, xp.sum(xp.where(ok, x, xp.zeros_like(x)), axis=axis), n, n > 0)
