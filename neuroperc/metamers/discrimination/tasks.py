"""Tasks: which picture is shown in which interval and on which side of every trial."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor

from ... import __version__
from ..._check import as_rng, atomic_path, check, integer, non_negative, one_of
from ...color import linear_to_srgb
from ...data import StimulusSet, check_trials
from ...display import Display
from ...stimuli import trials as trial_list

TaskName = Literal["abx", "split_screen", "oddity"]
Comparison = Literal["synth_synth", "original_synth"]

_TIMING: dict[str, dict[str, Any]] = {
    # Stated in the code of Broderick et al. (split screen) and of Wallis et al. 2016 (oddity).
    "split_screen": {"presentation_s": 0.2, "gap_s": [0.5], "response_s": None, "between_trials_s": 0.5},
    "oddity": {"presentation_s": 0.2, "ramp_share": 0.2, "gap_s": [0.5, 0.5], "response_s": 1.2},
    # After Freeman & Simoncelli 2011 from memory, not checked with the paper.
    "abx": {"presentation_s": 0.2, "gap_s": [0.5, 1.0], "response_s": None},
}
_TEXT = ("subject", "session", "stimulus_id", "condition", "response", "reason", "image", "comparison", "answer",
         "first_id", "second_id")  # fmt: skip
_BALANCE: dict[str, dict[str, list[Any]]] = {
    "abx": {"swapped": [False, True], "answer": ["first", "second"]},
    "split_screen": {"swapped": [False, True], "answer": ["left", "right"]},
    "oddity": {"swapped": [False, True], "answer": ["1", "2", "3"]},
}


@dataclass(frozen=True, eq=False)
class Task:
    """Stimuli, trials, and what is shown where; make one with `abx_task`, `split_screen_task` or `oddity_task`.

    Attributes
    ----------
    name
        "abx", "split_screen" or "oddity".
    stimuli
        The pictures.
    trials
        A Trials table with the columns ``image scaling comparison answer swapped block first_id second_id``; ``answer``
        is the correct response.
    index
        (trial, interval, side) rows of `stimuli`; one side when a picture fills the screen, (left, right) otherwise.
    timing
        Durations in seconds.
    bar_deg, spot_deg
        Width of the grey bar between the halves (split screen), diameter of the fixation spot; 0 for none.

    Examples
    --------
    >>> import numpy as np, pandas as pd, neuroperc as npc
    >>> display = npc.Display.from_px_per_deg(8, resolution_px=(16, 16))
    >>> table = pd.DataFrame({"image": "street", "scaling": [0.3, 0.3, 0.5, 0.5]})
    >>> pictures = np.random.default_rng(0).random((4, 1, 16, 16))
    >>> metamers = npc.StimulusSet.from_arrays(pictures, display=display, table=table)
    >>> task = oddity_task(metamers, repeats=6, rng=0)
    >>> task.index.shape, task.pictures(0).shape
    ((12, 3, 1), torch.Size([3, 1, 16, 16]))
    """

    name: TaskName
    stimuli: StimulusSet
    trials: pd.DataFrame
    index: np.ndarray
    timing: Mapping[str, Any]
    bar_deg: float = 0.0
    spot_deg: float = 0.0

    def pictures(self, trial: int) -> Tensor:
        """Return what is on the screen in the intervals of a trial: (interval, c, h, w), linear light."""
        check(0 <= trial < len(self.index), "trial", f"between 0 and {len(self.index) - 1}", trial, error=IndexError)
        return torch.stack([self.compose(*sides) for sides in self.index[trial]])

    def compose(self, left: int, right: int | None = None) -> Tensor:
        """Return one screen (c, h, w): a picture, or the left half of one beside the right half of another."""
        linear = self.stimuli.to_encoding("linear")
        shown = linear[int(left)]
        width = shown.shape[-1]
        if right is not None:
            other = linear[int(right)]
            shown = torch.cat([shown[..., : width // 2], other[..., width // 2 :]], dim=-1)
        weight, light = _furniture(self.stimuli.display, (shown.shape[-2], width), self.bar_deg, self.spot_deg)
        weight, light = weight.to(shown), light.to(shown)
        return shown * (1 - weight) + light * weight

    def to_xarray(self) -> xr.Dataset:
        """Return the pictures as labelled arrays, the table as coordinates, and ``index`` (trial, interval, side).

        ``linear`` and 8-bit sRGB ``codes`` are (stimulus, channel, y, x).
        """
        linear = np.stack([p.numpy(force=True) for p in self.stimuli.to_encoding("linear")])
        codes = np.round(255 * linear_to_srgb(linear.astype(np.float64))).astype(np.uint8)
        coords: dict[str, Any] = {"stimulus_id": ("stimulus", np.array(self.stimuli.ids, dtype=object))}
        for name, column in self.stimuli.table.items():
            values = column.to_numpy()
            coords[str(name)] = (
                "stimulus",
                values if values.dtype.kind in "fiub" else column.astype(str).to_numpy(object),
            )
        dims = ("stimulus", "channel", "y", "x")
        arrays = {
            "linear": (dims, linear),
            "codes": (dims, codes),
            "index": (("trial", "interval", "side"), self.index),
        }
        facts = {
            "kind": "neuroperc.task", "task": self.name, "timing": json.dumps(dict(self.timing)),
            "bar_deg": self.bar_deg, "spot_deg": self.spot_deg, "display": json.dumps(self.stimuli.display.to_dict()),
            "versions": json.dumps({"neuroperc": __version__, "torch": torch.__version__, "numpy": np.__version__}),
            "codes": "sRGB, not linearised for a monitor",
        }  # fmt: skip
        return xr.Dataset(arrays, coords=coords, attrs=facts)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write ``stimuli.nc`` (pictures as float and as 8-bit codes, table, index) and ``trials.csv`` to a folder.

        Raises
        ------
        ValueError
            When the folder above does not exist.
        OSError
            When the disk is full.
        """
        root = Path(folder)
        check(root.parent.is_dir(), "folder", "in a folder that exists", str(root), "Make the folder above it first.")
        root.mkdir(exist_ok=True)
        with atomic_path(root / "trials.csv") as path:
            self.trials.to_csv(path, index=False)
        with atomic_path(root / "stimuli.nc") as path:
            self.to_xarray().to_netcdf(path, engine="h5netcdf")

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Task:
        """Read what `save` wrote.

        Raises
        ------
        FileNotFoundError
            When a file is missing.
        ValueError
            When the file is not one of a Task.
        """
        root = Path(folder)
        with xr.open_dataset(root / "stimuli.nc", engine="h5netcdf") as opened:
            data = opened.load()
        check(data.attrs.get("kind") == "neuroperc.task", "folder", "one that Task.save wrote", str(root))
        columns = {str(k): v.to_numpy() for k, v in data.coords.items() if v.dims == ("stimulus",)}
        ids = [str(name) for name in columns.pop("stimulus_id")]
        stimuli = StimulusSet.from_arrays(
            data["linear"].to_numpy(), display=Display.from_dict(json.loads(data.attrs["display"])),
            table=pd.DataFrame(columns, index=pd.Index(ids, name="stimulus_id")),
        )  # fmt: skip
        empty = {name: [""] for name in ("set_size", "target_present", "correct", "rt_s", "found", "scaling", "dprime")}
        read = pd.read_csv(root / "trials.csv", dtype=dict.fromkeys(_TEXT, str), keep_default_na=False, na_values=empty)
        return cls(
            data.attrs["task"], stimuli, check_trials(read), data["index"].to_numpy(),
            json.loads(data.attrs["timing"]), float(data.attrs["bar_deg"]), float(data.attrs["spot_deg"]),
        )  # fmt: skip

    def __repr__(self) -> str:
        return f"<Task {self.name}: {len(self.trials)} trials of {len(self.stimuli)} stimuli>"


def abx_task(
    stimuli: StimulusSet,
    *,
    comparison: Comparison = "synth_synth",
    repeats: int = 4,
    n_blocks: int = 1,
    max_run: Mapping[str, int] | None = None,
    subject: str = "",
    session: str = "",
    rng: int | np.random.Generator,
) -> Task:
    """Make an ABX task: two different pictures, then one of them again, and which one it was is asked.

    Parameters
    ----------
    stimuli
        Pictures of one size whose table says ``image`` (which photograph) and ``scaling`` (NaN for the photograph
        itself, or whatever the metamers are compared with).
    comparison
        ``"synth_synth"``: two samples of one image and scaling; ``"original_synth"``: the original and a sample.
    repeats
        Trials an (image, scaling), a multiple of 4: the order of the two and the answer are counterbalanced. Pairs of
        samples take turns.
    n_blocks, max_run, subject, session, rng
        As in `neuroperc.stimuli.trials`; columns for `max_run` are ``answer``, ``swapped`` and ``stimulus_id`` (the
        image and scaling).

    Returns
    -------
    Task
        Its default timing is 200 ms each and pauses of 500 and 1000 ms, from memory after Freeman & Simoncelli and
        not checked with the paper.

    Raises
    ------
    ValueError
        When the table lacks a column, an (image, scaling) has too few samples or no original, or `repeats` cannot be
        counterbalanced.

    References
    ----------
    .. [1] J Freeman, E P Simoncelli (2011). Metamers of the ventral stream. doi:10.1038/nn.2889

    Examples
    --------
    >>> import numpy as np, pandas as pd, neuroperc as npc
    >>> display = npc.Display.from_px_per_deg(8, resolution_px=(16, 16))
    >>> table = pd.DataFrame({"image": "street", "scaling": [float("nan"), 0.3, 0.5]})
    >>> shown = npc.StimulusSet.from_arrays(np.random.default_rng(0).random((3, 1, 16, 16)), display=display,
    ...                                     table=table)
    >>> task = abx_task(shown, comparison="original_synth", repeats=4, rng=0)
    >>> task.trials.groupby(["scaling", "answer"]).size().tolist()
    [2, 2, 2, 2]
    """
    return _task("abx", stimuli, comparison, repeats, n_blocks, max_run, subject, session, rng)


def split_screen_task(
    stimuli: StimulusSet,
    *,
    comparison: Comparison = "synth_synth",
    repeats: int = 12,
    n_blocks: int = 1,
    max_run: Mapping[str, int] | None = None,
    bar_deg: float = 4.0,
    spot_deg: float = 0.25,
    subject: str = "",
    session: str = "",
    rng: int | np.random.Generator,
) -> Task:
    """Make a split-screen task: a picture, then the same with its left or its right half replaced.

    Parameters
    ----------
    stimuli, comparison, n_blocks, max_run, subject, session, rng
        As in `abx_task`.
    repeats
        Trials an (image, scaling), a multiple of 4: the side and which picture comes first are counterbalanced.
    bar_deg
        Width of the grey bar between the halves, raised-cosine flanks included; the published one is 200 of 2600 px
        over 53.6 degrees.
    spot_deg
        Diameter of the fixation spot.

    Returns
    -------
    Task
        200 ms, a blank of 500 ms, 200 ms, free response, 500 ms, as in the released code.

    Raises
    ------
    ValueError
        As `abx_task`, and when the bar is wider than half the picture.

    References
    ----------
    .. [1] W F Broderick, G Rufo, J Winawer, E P Simoncelli. Foveated metamers of the early visual system.

    Examples
    --------
    >>> import numpy as np, pandas as pd, neuroperc as npc
    >>> display = npc.Display.from_px_per_deg(8, resolution_px=(16, 16))
    >>> table = pd.DataFrame({"image": "street", "scaling": [0.3, 0.3]})
    >>> shown = npc.StimulusSet.from_arrays(np.random.default_rng(0).random((2, 1, 16, 16)), display=display,
    ...                                     table=table)
    >>> task = split_screen_task(shown, repeats=4, bar_deg=0.5, rng=0)
    >>> task.index[0].shape  # interval, side
    (2, 2)
    """
    bar, spot = non_negative("bar_deg", bar_deg), non_negative("spot_deg", spot_deg)
    width = min(float(w) for w in stimuli.table["width_deg"]) if isinstance(stimuli, StimulusSet) else np.inf
    check(bar <= width / 2, "bar_deg", f"at most half of the {width:g} degrees of the picture", bar_deg)
    return _task("split_screen", stimuli, comparison, repeats, n_blocks, max_run, subject, session, rng, bar, spot)


def oddity_task(
    stimuli: StimulusSet,
    *,
    comparison: Comparison = "synth_synth",
    repeats: int = 6,
    n_blocks: int = 1,
    max_run: Mapping[str, int] | None = None,
    subject: str = "",
    session: str = "",
    rng: int | np.random.Generator,
) -> Task:
    """Make a three-alternative oddity task: three pictures, one of which differs.

    Parameters
    ----------
    stimuli, comparison, n_blocks, max_run, subject, session, rng
        As in `abx_task`.
    repeats
        Trials an (image, scaling), a multiple of 6: the odd one's place and which picture is odd are counterbalanced.

    Returns
    -------
    Task
        200 ms with 20 % cosine ramps, pauses of 500 ms, 1200 ms for the response, as in the released code.

    Raises
    ------
    ValueError
        As `abx_task`.

    References
    ----------
    .. [1] T S A Wallis, M Bethge, F A Wichmann (2016). Testing models of peripheral encoding using metamerism in an
       oddity paradigm. doi:10.1167/16.2.4

    Examples
    --------
    >>> import numpy as np, pandas as pd, neuroperc as npc
    >>> display = npc.Display.from_px_per_deg(8, resolution_px=(16, 16))
    >>> table = pd.DataFrame({"image": "street", "scaling": [0.3, 0.3]})
    >>> shown = npc.StimulusSet.from_arrays(np.random.default_rng(0).random((2, 1, 16, 16)), display=display,
    ...                                     table=table)
    >>> oddity_task(shown, repeats=6, rng=0).trials["answer"].value_counts().tolist()
    [2, 2, 2]
    """
    return _task("oddity", stimuli, comparison, repeats, n_blocks, max_run, subject, session, rng)


def _task(
    name: TaskName, stimuli: Any, comparison: str, repeats: int, n_blocks: int, max_run: Any, subject: str,
    session: str, rng: Any, bar_deg: float = 0.0, spot_deg: float = 0.0,
) -> Task:  # fmt: skip
    check(isinstance(stimuli, StimulusSet), "stimuli", "a StimulusSet", type(stimuli).__name__, error=TypeError)
    check(stimuli.fps is None, "stimuli", "pictures", "movies", "These tasks show still pictures.")
    sizes = sorted(set(stimuli.shapes))
    check(len(sizes) == 1, "stimuli", "of one size", sizes, "Crop or pad them; nothing is resized silently.")
    one_of("comparison", comparison, ("synth_synth", "original_synth"))
    pairs = _pairs(stimuli.table, comparison)
    generator = as_rng(rng)
    made = trial_list(
        [f"{image}, {scaling:g}" for image, scaling in pairs], balance=_BALANCE[name],
        repeats=integer("repeats", repeats), n_blocks=n_blocks, max_run=max_run, subject=subject, session=session,
        rng=generator,
    )  # fmt: skip
    cells = dict(zip([f"{image}, {scaling:g}" for image, scaling in pairs], pairs, strict=True))
    two = _take_turns([cells[c] for c in made["stimulus_id"]], pairs, generator)
    swapped = made["swapped"].to_numpy(dtype=bool)
    two[swapped] = two[swapped, ::-1]
    answer = [_BALANCE[name]["answer"].index(a) for a in made["answer"]]
    ids = np.array(stimuli.ids, dtype=object)
    of_cell = [cells[c] for c in made["stimulus_id"]]
    made = made.assign(
        image=[str(image) for image, _ in of_cell], scaling=[s for _, s in of_cell], comparison=comparison,
        condition=comparison, first_id=ids[two[:, 0]], second_id=ids[two[:, 1]],
    )  # fmt: skip
    made["stimulus_id"] = made["second_id"].where(~swapped, made["first_id"])
    index = _LAYOUT[name](two, np.array(answer))
    return Task(name, stimuli, check_trials(made), index, _TIMING[name], bar_deg, spot_deg)


def _pairs(table: pd.DataFrame, comparison: str) -> dict[tuple[str, float], np.ndarray]:
    """Return the pairs of rows (n, 2) that each (image, scaling) offers."""
    for column in ("image", "scaling"):
        check(column in table, "stimuli", f"a set whose table has the column {column!r}", list(table.columns))
    image, scaling = table["image"].astype(str).to_numpy(), pd.to_numeric(table["scaling"]).to_numpy(dtype=float)
    found = {}
    for name, s in sorted({(i, float(s)) for i, s in zip(image, scaling, strict=True) if np.isfinite(s)}):
        samples = np.flatnonzero((image == name) & (scaling == s))
        originals = np.flatnonzero((image == name) & np.isnan(scaling))
        if comparison == "original_synth":
            check(len(originals) > 0, f"image {name!r}", "there as an original, with scaling NaN", "no original")
            found[name, s] = np.array(list(itertools.product(originals, samples)))
        else:
            check(len(samples) > 1, f"image {name!r} at scaling {s:g}", "there in two samples or more", len(samples),
                  "Synthesize it with another seed, or use comparison='original_synth'.")  # fmt: skip
            found[name, s] = np.array(list(itertools.combinations(samples, 2)))
    check(found, "stimuli", "metamers with a scaling", "none", "Set the column scaling.")
    return found


def _take_turns(
    cells: list[Any], pairs: Mapping[tuple[str, float], np.ndarray], rng: np.random.Generator
) -> np.ndarray:
    """Return a pair for every trial; within a cell each pair is used about equally often, in random order."""
    two, codes = np.empty((len(cells), 2), dtype=np.int64), pd.factorize(pd.Series(cells))
    for code, cell in enumerate(codes[1]):
        rows = np.flatnonzero(codes[0] == code)
        turns = np.tile(rng.permutation(len(pairs[cell])), -(-len(rows) // len(pairs[cell])))[: len(rows)]
        two[rows] = pairs[cell][rng.permutation(turns)]
    return two


def _lay_abx(two: np.ndarray, answer: np.ndarray) -> np.ndarray:
    return np.column_stack([two, two[np.arange(len(two)), answer]])[..., None]


def _lay_oddity(two: np.ndarray, answer: np.ndarray) -> np.ndarray:
    return np.where(np.arange(3) == answer[:, None], two[:, 1:], two[:, :1])[..., None]


def _lay_split(two: np.ndarray, answer: np.ndarray) -> np.ndarray:
    after = np.where(np.arange(2) == answer[:, None], two[:, 1:], two[:, :1])
    return np.stack([np.repeat(two[:, :1], 2, axis=1), after], axis=1)


_LAYOUT = {"abx": _lay_abx, "oddity": _lay_oddity, "split_screen": _lay_split}


def _furniture(display: Display, shape: tuple[int, int], bar_deg: float, spot_deg: float) -> tuple[Tensor, Tensor]:
    """Return the opacity and the light (h, w) of spot and grey bar, whose outer quarters are raised cosines."""
    x = (torch.arange(shape[1], dtype=torch.float64) - (shape[1] - 1) / 2) / display.px_per_deg
    y = (torch.arange(shape[0], dtype=torch.float64) - (shape[0] - 1) / 2) / display.px_per_deg
    weight = torch.zeros(shape, dtype=torch.float64)
    if bar_deg > 0:
        flank = bar_deg / 4
        place = ((bar_deg / 2 - x.abs()) / flank).clip(0, 1)
        weight = weight + (1 - torch.cos(torch.pi * place)) / 2
    light = torch.full(shape, 0.5, dtype=torch.float64)
    spot = torch.hypot(x, y[:, None]) <= spot_deg / 2 if spot_deg > 0 else torch.zeros(shape, dtype=torch.bool)
    return torch.where(spot, 1.0, weight), torch.where(spot, 1.0, light)
