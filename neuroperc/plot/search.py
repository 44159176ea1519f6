"""Reaction time against set size."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from .._check import check
from .look import COLORS, axes

__all__ = ["search_functions"]


def search_functions(
    rt: pd.DataFrame,
    *,
    slopes: pd.DataFrame | None = None,
    by: str = "condition",
    labels: dict[str, str] | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw mean reaction time at every set size, a line a condition.

    Parameters
    ----------
    rt
        Rows with rt_s, set_size and the column `by`, as `neuroperc.search.reaction_times` gives them. Unknown times
        are left out. Bars are standard errors of the mean over displays.
    slopes
        What `neuroperc.search.search_slopes` gives: the fitted lines are drawn and the legend holds their slopes.
    by
        Column that splits the rows.
    labels
        Names of its values for the legend; default the values with spaces for underscores.
    title
        Title of the axes.
    ax
        Axes to draw into.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        When a column is missing or no time is known.

    Examples
    --------
    >>> rt = pd.DataFrame({"condition": "feature", "set_size": [1, 1, 8, 8], "rt_s": [0.5, 0.6, 0.6, 0.7]})
    >>> search_functions(rt).get_ylabel()
    'reaction time (ms)'
    """
    missing = [name for name in (by, "set_size", "rt_s") if name not in rt]
    check(not missing, "rt", f"with the columns {by}, set_size, rt_s", f"no {', '.join(missing)}")
    known = rt[rt["rt_s"].notna()]
    check(len(known) > 0, "rt_s", "known in some row", "none")
    ax = axes(ax)
    colors = [color for name, color in COLORS.items() if name != "grey"]
    for i, (key, part) in enumerate(known.groupby(by, sort=False)):
        groups = part.groupby("set_size")["rt_s"]
        x = np.asarray(list(groups.groups), dtype=float)
        mean, error = 1000 * groups.mean().to_numpy(), 1000 * groups.sem().fillna(0.0).to_numpy()
        name = (labels or {}).get(str(key), str(key).replace("_", " "))
        line, name = _line(slopes, by, key, x, name)
        color = colors[i % len(colors)]
        ax.errorbar(x, mean, yerr=error, fmt="o", color=color, label=name, capsize=2)
        drawn: Any = mean if line is None else line
        ax.plot(x, drawn, "-", color=color)
    ax.set(xlabel="set size (items)", ylabel="reaction time (ms)", title=title)
    ax.legend(title="bars: standard errors over displays", title_fontsize=8, alignment="left")
    return ax


def _line(slopes: pd.DataFrame | None, by: str, key: Any, x: np.ndarray, name: str) -> tuple[Any, str]:
    if slopes is None:
        return None, name
    row = slopes[slopes[by] == key].iloc[0]
    factor = 1.0 if str(row["unit"]).startswith("ms") else 1000.0
    return factor * (row["intercept"] + row["slope"] * x), f"{name}: {factor * row['slope']:.1f} ms/item"
