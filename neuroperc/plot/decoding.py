"""What was read from a brain: rows of pictures, identification by number of candidates, confusions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from .._check import check
from .images import pixels
from .look import COLORS, axes

__all__ = ["confusion", "identification_curve", "picture_rows"]

_GAP = 0.12  # of a picture's side


def picture_rows(
    rows: Mapping[str, Any], *, captions: Any = None, encoding: str = "linear", title: str = "", ax: Axes | None = None
) -> Axes:
    """Draw rows of small pictures under one another, such as what was shown and what was read.

    Parameters
    ----------
    rows
        Name of a row to its pictures (n, h, w) or (n, 1 or 3, h, w) in [0, 1]; values outside are clipped for the
        screen. As many in each row.
    captions
        (n,) words under the columns.
    encoding
        What the values mean: "linear" or "srgb".
    title
        Above.
    ax
        Axes to draw into.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        Without rows, when rows differ in number or size, or captions do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> ax = picture_rows({"shown": np.zeros((3, 4, 4)), "read": np.ones((3, 4, 4))})
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['shown', 'read']
    """
    check(rows, "rows", "one or more rows of pictures", "none")
    drawn = [np.stack([_colour(pixels(one, encoding)) for one in pictures]) for pictures in rows.values()]
    shapes = sorted({picture.shape for picture in drawn})
    check(len(shapes) == 1, "rows", "of as many pictures of one size", shapes)
    n, height, width, _ = shapes[0]
    gap = max(1, round(_GAP * max(height, width)))
    canvas = np.ones((len(drawn) * (height + gap) - gap, n * (width + gap) - gap, 3))
    for i, row in enumerate(drawn):
        for j, picture in enumerate(row):
            top, left = i * (height + gap), j * (width + gap)
            canvas[top : top + height, left : left + width] = picture
    ax = axes(ax, width_in=0.5 * n + 0.8, height_in=0.5 * len(drawn) + 0.3)
    ax.imshow(canvas, interpolation="nearest")
    ax.set_yticks([i * (height + gap) + (height - 1) / 2 for i in range(len(drawn))], list(rows))
    words = [] if captions is None else [str(caption) for caption in captions]
    check(len(words) in (0, n), "captions", f"{n} words, one a column", len(words))
    ax.set_xticks([j * (width + gap) + (width - 1) / 2 for j in range(len(words))], words)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_title(title)
    return ax


def _colour(picture: np.ndarray) -> np.ndarray:
    return np.repeat(picture[..., None], 3, axis=2) if picture.ndim == 2 else picture


def identification_curve(
    n_candidates: Any,
    share: Any,
    *,
    interval: Any = None,
    interval_of: str = "",
    label: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw how often the picture that was shown is picked among a number of candidates, with chance.

    Parameters
    ----------
    n_candidates
        (n,) numbers of candidates, 2 or more.
    share
        (n,) shares that are right.
    interval
        (n, 2) lower and upper limits, drawn as a band.
    interval_of
        What the band is; required with `interval`, and printed in the legend.
    label
        Name of the curve.
    ax
        Axes to draw into; call again with it for a second curve.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        When lengths differ, a number is below 2, or the band does not say what it is.

    Examples
    --------
    >>> identification_curve([2, 3, 4], [0.9, 0.8, 0.7]).get_xlabel()
    'candidates'
    """
    x, y = np.asarray(n_candidates, dtype=float), np.asarray(share, dtype=float)
    check(x.ndim == 1 and x.shape == y.shape and x.size > 0, "share", "one for each number of candidates", y.shape)
    check(bool((x >= 2).all()), "n_candidates", "2 or more", x.min())
    check(interval is None or interval_of, "interval_of", "given with an interval", interval_of, "Say what it is.")
    first = ax is None or not ax.lines
    ax = axes(ax)
    (line,) = ax.plot(x, y, "o-", label=", ".join(w for w in (label, interval_of) if w) or None)
    if interval is not None:
        limits = np.asarray(interval, dtype=float)
        check(limits.shape == (len(x), 2), "interval", f"of shape ({len(x)}, 2)", limits.shape)
        ax.fill_between(x, *limits.T, color=line.get_color(), alpha=0.18, linewidth=0)
    if first:
        ax.plot(x, 1 / x, ":", color=COLORS["grey"], label="chance")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set(xlabel="candidates", ylabel="share identified", ylim=(0, 1.02))
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncol=2, borderaxespad=0.2)
    return ax


def confusion(shares: Any, classes: Any, *, title: str = "", ax: Axes | None = None) -> Axes:
    """Draw which class was taken for which.

    Parameters
    ----------
    shares
        (shown, predicted) shares of each class shown.
    classes
        Their names.
    title
        Above.
    ax
        Axes to draw into.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        When the shares are not (class, class).

    Examples
    --------
    >>> confusion([[0.9, 0.1], [0.3, 0.7]], ["cat", "dog"]).get_ylabel()
    'shown'
    """
    values, names = np.asarray(shares, dtype=float), [str(name) for name in classes]
    check(values.shape == (len(names),) * 2, "shares", f"({len(names)}, {len(names)})", f"shape {values.shape}")
    ax = axes(ax)
    drawn = ax.imshow(values, cmap="Greys", vmin=0, vmax=1)
    ax.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(names)), names)
    ax.set(xlabel="predicted", ylabel="shown", title=title)
    ax.figure.colorbar(drawn, ax=ax, label="share", shrink=0.8)
    return ax
