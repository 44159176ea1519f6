"""One look for every figure, and figures that need no window system."""

from __future__ import annotations

import io
from contextlib import AbstractContextManager
from typing import Any, cast

import matplotlib as mpl
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .._check import positive

__all__ = ["COLORS", "STYLE", "axes", "figure", "png", "style"]

#: Okabe and Ito's colours, which colour-blind readers can tell apart; black is left for what people did.
COLORS = {
    "blue": "#0072B2",
    "vermilion": "#D55E00",
    "green": "#009E73",
    "purple": "#CC79A7",
    "sky": "#56B4E9",
    "orange": "#E69F00",
    "grey": "#6B7280",
}

#: Settings for ``matplotlib.rc_context``; `style` wraps them.
STYLE: dict[str, Any] = {
    "axes.prop_cycle": cycler(color=list(COLORS.values())),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.linewidth": 0.8,
    "figure.constrained_layout.use": True,
    "figure.dpi": 100,
    "font.size": 9,
    "image.interpolation": "antialiased",
    "image.cmap": "gray",
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.6,
    "lines.markersize": 4,
    "savefig.dpi": 150,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
}


def style() -> AbstractContextManager[None]:
    """Return a context in which everything drawn follows `STYLE`.

    Examples
    --------
    >>> with style():
    ...     canvas = figure(1, 2)
    """
    return mpl.rc_context(cast(Any, STYLE))


class _Picture(Figure):
    """A Figure that notebooks show, without pyplot and its global state."""

    def _repr_png_(self) -> bytes:
        return png(self, dpi=110)


def figure(n_rows: int = 1, n_columns: int = 1, *, width_in: float = 3.4, height_in: float = 2.6) -> Figure:
    """Return a Figure with a grid of Axes, styled, on an Agg canvas; it is shown when it ends a notebook's cell.

    Parameters
    ----------
    n_rows, n_columns
        Grid of Axes.
    width_in, height_in
        Size of one Axes in inches.

    Returns
    -------
    matplotlib.figure.Figure
        Its Axes are ``figure.axes``, row by row.

    Raises
    ------
    ValueError
        When a size is not above 0.

    Examples
    --------
    >>> len(figure(2, 3).axes)
    6
    """
    positive("width_in", width_in)
    positive("height_in", height_in)
    with style():
        made = _Picture(figsize=(n_columns * width_in, n_rows * height_in))
        FigureCanvasAgg(made)
        made.subplots(n_rows, n_columns)
    return made


def axes(ax: Axes | None, *, width_in: float = 3.4, height_in: float = 2.6) -> Axes:
    """Return `ax`, or the Axes of a new figure."""
    return figure(width_in=width_in, height_in=height_in).axes[0] if ax is None else ax


def png(shown: Figure | Axes, *, dpi: int = 150) -> bytes:
    """Return a figure as the bytes of a PNG file; the same figure gives the same bytes.

    Examples
    --------
    >>> png(figure())[1:4]
    b'PNG'
    """
    made = cast(Figure, shown.get_figure(root=True)) if isinstance(shown, Axes) else shown
    buffer = io.BytesIO()
    made.savefig(buffer, format="png", dpi=dpi, bbox_inches="tight", pad_inches=0.05, metadata={"Software": None})
    return buffer.getvalue()
