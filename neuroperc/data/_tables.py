"""The table of a StimulusSet: ids, sizes and places, and the checks of what goes with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from .._check import check, fail
from ..display import Display
from ._folders import TEXT, is_text
from ._placing import plan_fit

PLACEMENT = ("width_deg", "height_deg", "x_deg", "y_deg")


def checked_table(table: pd.DataFrame, n: int) -> pd.DataFrame:
    check(isinstance(table, pd.DataFrame), "table", "a pandas DataFrame", type(table).__name__, error=TypeError)
    check(len(table) == n, "table", f"of {n} rows, one a stimulus", f"{len(table)} rows")
    missing = [name for name in PLACEMENT if name not in table.columns]
    check(not missing, "table", f"with the columns {', '.join(PLACEMENT)}", f"no {', '.join(missing)}")
    table = table.set_axis(pd.Index([str(name) for name in table.index], name="stimulus_id", dtype=TEXT))
    table = table.assign(**{str(n): c.astype(TEXT) for n, c in table.items() if c.dtype != TEXT and is_text(c)})
    twice = table.index[table.index.duplicated()].unique().tolist()
    check(not twice, "stimulus_id", "unique", f"{twice[:5]} more than once", "Rename or drop the repeated ones.")
    for name in PLACEMENT:
        values = pd.to_numeric(table[name], errors="coerce").to_numpy(dtype=float)
        bad = ~np.isfinite(values) | ((values <= 0) if name in ("width_deg", "height_deg") else False)
        if bad.any():
            first = table.index[int(np.argmax(bad))]
            rule = "finite and above 0" if name in ("width_deg", "height_deg") else "finite"
            fail(f"column {name!r}", f"{rule} degrees", f"{table[name].loc[first]} for {first!r}", "Correct that row.")
    return table


def checked_truth(name: str, values: Any, n: int) -> np.ndarray:
    array = np.asarray(values)
    check(array.dtype.kind in "biufcU", f"truth[{name!r}]", "numbers or text", str(array.dtype), error=TypeError)
    good = array.ndim >= 1 and len(array) == n
    check(good, f"truth[{name!r}]", f"an array whose first axis has {n} entries, one a stimulus", array.shape)
    return array


def same_array(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind in "fc")


def as_list(images: Any, n_dims: int) -> list[Any]:
    if isinstance(images, (Tensor, np.ndarray)):
        layout = "(n, c, h, w)" if n_dims == 3 else "(n, t, c, h, w)"
        remedy = "Add the missing axis, and pass fps for movies."
        check(images.ndim == n_dims + 1, "images", f"of shape {layout}", f"shape {tuple(images.shape)}", remedy)
    elif not isinstance(images, Sequence) or isinstance(images, str):
        fail("images", "an array, a tensor, or a list of them", type(images).__name__, error=TypeError)
    check(len(images) > 0, "images", "at least one", "none")
    return list(images)


def stimulus_names(ids: Sequence[Any] | None, table: pd.DataFrame | None, n: int) -> list[str]:
    if ids is None and table is not None and table.index.name == "stimulus_id":
        ids = list(table.index)
    if ids is None:
        width = max(4, len(str(n - 1)))
        return [f"{i:0{width}d}" for i in range(n)]
    check(len(ids) == n, "ids", f"{n} names, one a stimulus", f"{len(ids)}")
    return [str(name) for name in ids]


def placed_table(
    table: pd.DataFrame | None,
    names: list[str],
    shapes: list[tuple[int, int]],
    display: Display,
    size_deg: Any,
    center_deg: Any,
) -> pd.DataFrame:
    """Join the caller's columns with the placement."""
    n = len(names)
    base = pd.DataFrame(index=range(n)) if table is None else table
    check(len(base) == n, "table", f"of {n} rows, one a stimulus", f"{len(base)} rows")
    base = base.set_axis(pd.Index(names, name="stimulus_id"))
    if any(name in base.columns for name in PLACEMENT):
        check(size_deg is None, "size_deg", "left out when the table holds the placement", size_deg)
        return base
    per_item = np.ndim(size_deg) == 2
    if per_item:
        check(np.shape(size_deg) == (n, 2), "size_deg", f"of shape ({n}, 2)", np.shape(size_deg))
    sizes = [
        plan_fit(f"images[{name!r}]", shape, display, size_deg[i] if per_item else size_deg, None)[1]
        for i, (name, shape) in enumerate(zip(names, shapes, strict=True))
    ]
    return with_placement(base, np.array(sizes), centers_of(center_deg, n))


def centers_of(center_deg: Any, n: int) -> np.ndarray:
    centers = np.asarray(center_deg, dtype=float)
    check(centers.shape in ((2,), (n, 2)), "center_deg", f"(x, y) or of shape ({n}, 2)", centers.shape)
    return np.broadcast_to(centers, (n, 2))


def with_placement(table: pd.DataFrame, sizes: np.ndarray, centers: np.ndarray) -> pd.DataFrame:
    return table.assign(width_deg=sizes[:, 1], height_deg=sizes[:, 0], x_deg=centers[:, 0], y_deg=centers[:, 1])
