"""One self-contained HTML page: pictures, the numbers beside them, and what they show."""

from __future__ import annotations

import base64
import html
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .._check import atomic_path

__all__ = ["Number", "Stage", "write_page"]

_STYLE = """
:root { --ink: #1b1f24; --soft: #5b6470; --line: #dde1e6; --paper: #fdfdfb; --accent: #0b5c8a; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
       font: 17px/1.55 Charter, "Bitstream Charter", "Iowan Old Style", Georgia, serif; }
main { max-width: 68rem; margin: 0 auto; padding: 3rem 1.5rem 4rem; }
h1 { font-size: 2rem; line-height: 1.2; margin: 0 0 .4rem; }
h2 { font-size: 1.35rem; margin: 0 0 .3rem; }
p { margin: .5rem 0; max-width: 46rem; }
header p.facts, .made, footer, table, nav { font-family: "Inter", "Helvetica Neue", Arial, sans-serif; }
header p.facts, footer { color: var(--soft); font-size: .82rem; }
nav { font-size: .85rem; margin: 1.2rem 0 0; }
nav a { color: var(--accent); text-decoration: none; margin-right: 1.1rem; white-space: nowrap; }
section { border-top: 1px solid var(--line); margin-top: 2.6rem; padding-top: 1.6rem; }
.made { display: inline-block; font-size: .72rem; color: var(--soft); border: 1px solid var(--line);
        border-radius: 1rem; padding: .05rem .6rem; margin-bottom: .5rem; background: #fff; }
figure { margin: 1rem 0 .6rem; }
figure img { width: 100%; height: auto; display: block; background: #fff; }
table { border-collapse: collapse; font-size: .85rem; margin: .8rem 0 0; }
td, th { text-align: left; padding: .28rem 1.2rem .28rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td.value { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.unit { color: var(--soft); white-space: nowrap; }
td.note { color: var(--soft); }
"""


@dataclass(frozen=True)
class Number:
    """One row beside a picture: what it is, its value as printed, its unit, and a remark."""

    name: str
    value: str
    unit: str = ""
    note: str = ""


@dataclass(frozen=True)
class Stage:
    """One section of the page."""

    title: str
    made_of: str
    see: str
    figure: bytes
    alt: str
    numbers: tuple[Number, ...]


def write_page(
    path: str | os.PathLike[str], stages: Sequence[Stage], seconds: Sequence[float], facts: Mapping[str, Any]
) -> Path:
    """Write the page, whole or not at all; nothing in it points outside the file.

    Parameters
    ----------
    path
        HTML file to write.
    stages
        Sections in order.
    seconds
        How long each took.
    facts
        Provenance, printed at the foot.

    Returns
    -------
    pathlib.Path
        `path`.
    """
    links = "".join(f'<a href="#s{i}">{i}. {html.escape(s.title)}</a> ' for i, s in enumerate(stages, 1))
    body = "".join(_section(i, s, t) for i, (s, t) in enumerate(zip(stages, seconds, strict=True), 1))
    origin = ", ".join(f"{html.escape(str(k))} {html.escape(str(v))}" for k, v in facts.items())
    text = (
        "<!doctype html>\n"
        '<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>neuroperc: the guided tour</title><style>{_STYLE}</style></head><body><main>"
        "<header><h1>What a fovea keeps of a photograph</h1>"
        "<p>One packaged photograph goes through most stages; under its title each says what it was given. All "
        "distances are in degrees of visual angle, x to the right and y up, from the centre of the display; light is "
        "linear, shown as sRGB. Red crosses mark the gaze.</p>"
        f'<nav>{links}</nav></header>{body}<footer><section><p class="facts">Made by <code>neuroperc demo</code> in '
        f"{sum(seconds):.0f} s: {origin}.</p></section></footer></main></body></html>\n"
    )
    target = Path(path)
    with atomic_path(target) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return target


def _section(order: int, stage: Stage, seconds: float) -> str:
    rows = "".join(
        f'<tr><td>{html.escape(n.name)}</td><td class="value">{html.escape(n.value)}</td>'
        f'<td class="unit">{html.escape(n.unit)}</td><td class="note">{html.escape(n.note)}</td></tr>'
        for n in stage.numbers
    )
    picture = base64.b64encode(stage.figure).decode("ascii")
    return (
        f'<section id="s{order}"><h2>{order}. {html.escape(stage.title)}</h2>'
        f'<span class="made">{html.escape(stage.made_of)} · {seconds:.1f} s</span>'
        f"<p>{html.escape(stage.see)}</p>"
        f'<figure><img alt="{html.escape(stage.alt)}" src="data:image/png;base64,{picture}"></figure>'
        f"<table>{rows}</table></section>"
    )
