"""How well layers predict neurons, and which network stands for which area."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from .._check import check
from .look import axes

__all__ = ["hierarchy", "layer_profile", "model_regions"]


def layer_profile(
    layers: Any,
    score: Any,
    *,
    interval: Any = None,
    interval_of: str = "",
    ceiling: tuple[float, float] | None = None,
    ceiling_of: str = "",
    quantity: str = "r² / reliability",
    label: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw the scores of a model's layers in their order, with the band of what any model can reach.

    Parameters
    ----------
    layers
        (n,) names, first to last.
    score
        (n,) one a layer.
    interval
        (n, 2) lower and upper limits, drawn as bars.
    interval_of
        What the bars are; required with `interval`, and printed in the legend.
    ceiling
        (low, high) of the band.
    ceiling_of
        What the band is; required with `ceiling`, and printed in the legend.
    quantity
        Name of the vertical axis.
    label
        Name of this model.
    ax
        Axes to draw into; call again with it for a second model.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        When lengths differ, or bars or band do not say what they are.

    Examples
    --------
    >>> layer_profile(["conv1", "conv2"], [0.2, 0.4]).get_ylabel()
    'r² / reliability'
    """
    names, y = [str(name) for name in layers], np.asarray(score, dtype=float)
    check(y.shape == (len(names),) and len(names) > 0, "score", f"{len(names)} values, one a layer", y.shape)
    check(interval is None or interval_of, "interval_of", "given with an interval", interval_of, "Say what it is.")
    check(ceiling is None or ceiling_of, "ceiling_of", "given with a ceiling", ceiling_of, "Say what it is.")
    ax, x, bars = axes(ax), np.arange(len(names)), None
    if ceiling is not None:
        ax.axhspan(*ceiling, color="black", alpha=0.12, linewidth=0, label=ceiling_of)
    if interval is not None:
        limits = np.asarray(interval, dtype=float)
        check(limits.shape == (len(names), 2), "interval", f"of shape ({len(names)}, 2)", limits.shape)
        bars = np.clip(np.stack([y - limits[:, 0], limits[:, 1] - y]), 0, None)
    words = ", ".join(part for part in (label, interval_of) if part)
    ax.autoscale(axis="y")  # a second model may reach further than the first
    ax.errorbar(x, y, bars, fmt="o-", elinewidth=1, capsize=0, label=words or None)
    ax.set_xticks(x, names, rotation=30, ha="right")
    ax.set(ylabel=quantity, ylim=(min(0.0, ax.get_ylim()[0]), None))
    if ax.get_legend_handles_labels()[0]:
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1))
    return ax


def model_regions(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw the best layer's score of every model in every area.

    Colour is the share of the best model in the same area, because areas may be scored by different measures; the
    number is the score.

    Parameters
    ----------
    table
        Of `encoding.score_models`; untrained models are labelled so.
    ax
        Axes to draw into.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        When columns are missing.

    Examples
    --------
    >>> import pandas as pd
    >>> row = {"model": "net", "weights": "random", "region": "V4", "layer": "conv1", "score": 0.3, "best": True}
    >>> model_regions(pd.DataFrame([row])).get_yticklabels()[0].get_text()
    'net (random weights)'
    """
    best = _best(table, ("model", "weights", "region", "layer", "score"))
    models, regions = (list(dict.fromkeys(best[name])) for name in ("model", "region"))
    score = best.pivot(index="model", columns="region", values="score").loc[models, regions].to_numpy(dtype=float)
    layer = best.pivot(index="model", columns="region", values="layer").loc[models, regions].to_numpy()
    top = np.nanmax(np.where(score > 0, score, np.nan), axis=0, initial=1e-12)
    ax = axes(ax, width_in=1.2 + 1.1 * len(regions), height_in=0.8 + 0.45 * len(models))
    image = ax.imshow(np.clip(score / top, 0, 1), cmap="cividis", vmin=0, vmax=1, aspect="auto")
    for (i, j), value in np.ndenumerate(score):
        dark = not value / top[j] > 0.6
        text = "" if np.isnan(value) else f"{value:.3f}\n{layer[i, j]}"
        ax.text(j, i, text, ha="center", va="center", fontsize=7, color="white" if dark else "black")
    ax.set_xticks(range(len(regions)), regions)
    ax.set_yticks(range(len(models)), [_label(best, name) for name in models])
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    ax.figure.colorbar(image, ax=ax, label="share of the area's best model", shrink=0.8)
    return ax


def hierarchy(table: pd.DataFrame, slopes: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw how deep each area's best layer lies, with the rank correlation of every model.

    Parameters
    ----------
    table
        Of `encoding.score_models`.
    slopes
        Of `encoding.hierarchy_slope`.
    ax
        Axes to draw into.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        When columns are missing.

    Examples
    --------
    >>> import pandas as pd
    >>> areas = ["V1", "V4", "IT"]
    >>> table = pd.DataFrame({"model": "net", "weights": "random", "region": areas, "depth": [0, 0.5, 1], "best": True})
    >>> slopes = pd.DataFrame({"of_depth": [1.0]}, index=["net"])
    >>> hierarchy(table, slopes).get_legend_handles_labels()[1]
    ['net (random weights): 1.00']
    """
    best = _best(table, ("model", "weights", "region", "depth"))
    check("of_depth" in slopes, "slopes", "a table with of_depth", list(slopes), "Make it with hierarchy_slope.")
    regions = list(dict.fromkeys(best["region"]))
    ax = axes(ax)
    names = list(dict.fromkeys(best["model"]))
    for i, name in enumerate(names):
        depth = best[best["model"] == name].set_index("region")["depth"].reindex(regions)
        # Lines that would lie on one another are moved apart by less than a mark's size.
        shift = 0.02 * (i - (len(names) - 1) / 2)
        random = "random" in str(best.loc[best["model"] == name, "weights"].iloc[0])
        words = f"{_label(best, name)}: {slopes.loc[name, 'of_depth']:.2f}"
        ax.plot(np.arange(len(regions)) + shift, depth, "o--" if random else "o-", label=words)
    ax.set_xticks(range(len(regions)), regions)
    ax.set(ylabel="depth of the best layer", ylim=(-0.05, 1.05))
    ax.legend(title="rank correlation with the order of areas", loc="lower left", bbox_to_anchor=(0, 1),
              title_fontsize=8)  # fmt: skip
    return ax


def _best(table: pd.DataFrame, columns: tuple[str, ...]) -> pd.DataFrame:
    missing = sorted({*columns, "best"} - set(table.columns))
    check(not missing, "table", "one of encoding.score_models", f"{missing} missing")
    return table[table["best"].astype(bool)]


def _label(table: pd.DataFrame, model: str) -> str:
    weights = str(table.loc[table["model"] == model, "weights"].iloc[0])
    return f"{model} (random weights)" if weights == "random" and "random" not in model else model
