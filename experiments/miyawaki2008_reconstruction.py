"""Pictures read from the visual cortex: Miyawaki's V1 with whole stimuli held out, and hand-written digits."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tqdm.auto import tqdm

from neuroperc import Display, StimulusSet, data, decoding
from neuroperc import plot as npplot
from neuroperc._check import fail
from neuroperc.experiment import Measured, Result
from neuroperc.metrics import mean_interval

_DISPLAY = Display.from_px_per_deg(4, resolution_px=(64, 64))  # sizes do not matter here
_OF = "95 % interval over stimuli, one person each"


@dataclass(frozen=True)
class Config:
    """Folds of digits, shuffles of trials within sessions, resamples of the intervals, and the seed."""

    n_folds: int
    n_shuffles: int
    n_resamples: int
    seed: int


def run(config: Config, progress: bool = False) -> Measured:
    """Reconstruct both data sets with stimuli held out, and Miyawaki's with conditions held out and with a leak."""
    (v1, shapes), (brain, digits) = _read()
    kind = {"conditions": "condition"}
    found = {
        "digits": decoding.reconstruct(
            brain, digits, conditions="digit", n_folds=config.n_folds, encoding=False, rng=config.seed
        ),
        "weighted": decoding.reconstruct(
            brain, digits, conditions="digit", n_folds=config.n_folds, encoding=False, screen=10, rng=config.seed
        ),
        "stimulus": decoding.reconstruct(v1, shapes, **kind),
        "condition": decoding.reconstruct(v1, shapes, groups="condition", **kind),
        "demeaned": decoding.reconstruct(_without_session_means(v1), shapes, encoding=False, **kind),
    }
    leak = _leaking(v1, found["stimulus"].images, config.n_folds, config.seed)
    null = _shuffled(v1, found["condition"].images, config, progress)
    tables = {name: one.summary(n_resamples=config.n_resamples, rng=config.seed) for name, one in found.items()}
    values, intervals = _values(tables)
    gain = _difference(found["digits"], "class mean")
    above = mean_interval(gain, n_resamples=config.n_resamples, rng=config.seed)
    values |= {"digits_above_oracle": above.estimate, **leak, "null_five_way": float(np.mean(null))}
    values["five_way_p"] = float((1 + np.sum(null >= values["condition_five_way"])) / (1 + len(null)))
    values["digits_pixcorr_ordered"] = {
        name.replace(" ", "_"): float(tables["digits"].loc[name, "pixcorr"])
        for name in ("mean image", "class mean", "reconstruction")
    }
    intervals["digits_above_oracle"] = (above.low, above.high)
    shown = {"tables": {n: t.reset_index().to_dict("list") for n, t in tables.items()}, "null": null.tolist()}
    return Measured(values, intervals, _OF, shown | _pictures(found))


def _read() -> tuple[tuple[xr.DataArray, StimulusSet], ...]:
    root = os.environ.get("NEUROPERC_DATA")
    if not root:
        fail("NEUROPERC_DATA", "the folder with fmri/miyawaki2008_structured", root, "Set it before the run.")
    folder = Path(root, "fmri")
    one = folder / "miyawaki2008_structured" / "miyawaki_structured_28x28_sessions.mat"
    other = folder / "digits69_vangerven2010" / "digit69_28x28.mat"
    size = {"display": _DISPLAY, "size_deg": 7}
    return (
        (data.read_miyawaki_v1(one), data.read_miyawaki_v1_stimuli(one, **size)),
        (data.read_digits69(other), data.read_digits69_stimuli(other, **size)),
    )


def _values(tables: dict) -> tuple[dict, dict]:
    """Name the numbers of the summaries."""
    wanted = {
        "digits_pixcorr": ("digits", "reconstruction", "pixcorr"),
        "digits_class_mean_pixcorr": ("digits", "class mean", "pixcorr"),
        "digits_mean_image_pixcorr": ("digits", "mean image", "pixcorr"),
        "digits_two_way": ("digits", "reconstruction", "two_way"),
        "digits_weighted_pixcorr": ("weighted", "reconstruction", "pixcorr"),
        "digits_weighted_two_way": ("weighted", "reconstruction", "two_way"),
        **{
            f"{name}_{key}": (name, source, column)
            for name in ("stimulus", "condition", "demeaned")
            for key, source, column in (
                ("five_way", "reconstruction", "n_way"),
                ("pixcorr", "reconstruction", "pixcorr"),
                ("mean_image_pixcorr", "mean image", "pixcorr"),
                ("encoding_five_way", "encoding model", "n_way"),
            )
            if source in tables[name].index
        },
    }
    values = {key: float(tables[name].loc[source, column]) for key, (name, source, column) in wanted.items()}
    limits = {
        key: tuple(float(tables[name].loc[source, f"{column}_{end}"]) for end in ("low", "high"))
        for key, (name, source, column) in wanted.items()
    }
    return values, limits


def _difference(found: decoding.Reconstruction, baseline: str) -> np.ndarray:
    return (found.of("reconstruction")["pixcorr"] - found.of(baseline)["pixcorr"]).to_numpy()


def _without_session_means(v1: xr.DataArray) -> xr.DataArray:
    """Take each voxel's mean over a session out, test trials included: it needs no label, and hides the condition."""
    return v1.groupby("session") - v1.groupby("session").mean()


def _leaking(v1: xr.DataArray, images: np.ndarray, n_folds: int, seed: int) -> dict[str, float]:
    """Hold out trials, not stimuli, as one must not: other trials of the picture are in the training rows."""
    trials = np.arange(len(v1))
    found = decoding.reconstruct(v1.values, images, stimuli=trials, n_folds=n_folds, encoding=False, rng=seed)
    names = v1["stimulus_id"].values
    known, first = np.unique(names, return_index=True)
    read = found.predictions.reshape(len(trials), -1)
    likeness = np.corrcoef(read, images[first].reshape(len(known), -1))[: len(trials), len(trials) :]
    right = known[likeness.argmax(axis=1)] == names
    return {"leak_pixcorr": float(found.of("reconstruction")["pixcorr"].mean()), "leak_20_way": float(right.mean())}


def _shuffled(v1: xr.DataArray, images: np.ndarray, config: Config, progress: bool) -> np.ndarray:
    """Five-way identification when trials have changed places within their session, conditions held out."""
    rng = np.random.default_rng(config.seed)
    labels = {name: v1[name].values for name in ("stimulus_id", "condition")}
    found = []
    for _ in tqdm(range(config.n_shuffles), desc="shuffles", disable=not progress):
        order = decoding.permuted_rows(np.arange(len(v1)), within=v1["session"].values, rng=rng)
        one = decoding.reconstruct(
            v1.values[order], images, stimuli=labels["stimulus_id"], groups=labels["condition"],
            conditions=labels["condition"], encoding=False,
        )  # fmt: skip
        found.append(one.of("reconstruction")["n_way"].mean())
    return np.array(found)


def _pictures(found: dict) -> dict:
    """Mean reconstruction of each of Miyawaki's pictures, and ten digits of each kind, for the figure."""
    kept = {}
    for name in ("stimulus", "condition"):
        one = found[name]
        stimulus = one.of("reconstruction")["stimulus"].to_numpy()
        known, first = np.unique(stimulus, return_index=True)
        mean = np.stack([one.predictions[stimulus == s].mean(axis=0)[0] for s in known])
        kept[f"{name}_read"] = _packed(mean)
        kept["miyawaki_shown"] = _packed(one.images[first][:, 0])
        kept["miyawaki_conditions"] = one.of("reconstruction")["condition"].to_numpy()[first].tolist()
    digits = found["digits"]
    some = np.concatenate([np.arange(0, 45, 4.5), np.arange(45, 90, 4.5)]).astype(int)
    kept["digits_shown"] = _packed(digits.images[some, 0])
    kept["digits_read"] = _packed(digits.predictions[some, 0])
    return kept


def _packed(pictures: np.ndarray) -> list[str]:
    """Write each picture's pixels in two hexadecimal digits, which keeps the JSON file small."""
    return [np.rint(255 * np.clip(one, 0, 1)).astype(np.uint8).tobytes().hex() for one in pictures]


def _unpacked(pictures: list[str]) -> np.ndarray:
    return np.stack([np.frombuffer(bytes.fromhex(one), np.uint8).reshape(28, 28) for one in pictures]) / 255


def plot(result: Result) -> Figure:
    """Draw what was shown and what was read, and the numbers beside what could be guessed and what a leak claims."""
    with npplot.style():
        canvas = npplot.figure(1, 1, width_in=9.0, height_in=6.0)
        canvas.clear()
        parts = canvas.subplot_mosaic([["v1", "v1"], ["digits", "digits"], ["bars", "ways"]],
                                      height_ratios=[1.2, 0.85, 2.0])  # fmt: skip
        kept = result.data
        order = np.argsort(kept["miyawaki_conditions"], kind="stable")[::-1]
        rows = {"shown": "miyawaki_shown", "read, picture\nheld out": "stimulus_read",
                "read, condition\nheld out": "condition_read"}  # fmt: skip
        npplot.picture_rows(
            {name: _unpacked(kept[key])[order] for name, key in rows.items()}, ax=parts["v1"],
            title="V1 of one person (Miyawaki et al. 2008): mean over four to eight trials",
        )  # fmt: skip
        npplot.picture_rows(
            {"shown": _unpacked(kept["digits_shown"]), "read": _unpacked(kept["digits_read"])},
            ax=parts["digits"], title="V1-V3 of another (van Gerven et al. 2010): every digit seen once",
        )  # fmt: skip
        _bars(parts["bars"], result)
        _ways(parts["ways"], result)
    return canvas


def _bars(ax: Axes, result: Result) -> None:
    """Pixel correlations: guesses in grey, reconstructions in colour, the leak hatched."""
    tables = result.data["tables"]
    groups = {"digits": "digits,\ndigit held out", "stimulus": "V1, picture\nheld out",
              "condition": "V1, condition\nheld out"}  # fmt: skip
    colors = {"mean image": "#c9ccd2", "class mean": npplot.COLORS["grey"], "reconstruction": npplot.COLORS["blue"]}
    for i, name in enumerate(groups):
        table = tables[name]
        for k, (source, color) in enumerate(colors.items()):
            if name == "condition" and source == "class mean":
                continue  # no picture of the class is left
            j = table["source"].index(source)
            at, low, high = (table[f"pixcorr{end}"][j] for end in ("", "_low", "_high"))
            label = {"class mean": "mean of the class (oracle)"}.get(source, source) if i == 0 else None
            ax.bar(i + 0.27 * (k - 1), at, 0.25, color=color, label=label)
            ax.plot([i + 0.27 * (k - 1)] * 2, [low, high], color="black", lw=1)
    ax.bar(3, result.values["leak_pixcorr"], 0.25, color="white", edgecolor=npplot.COLORS["vermilion"], hatch="///",
           label="what a leak would claim")  # fmt: skip
    ax.set_xticks(range(4), [*groups.values(), "V1, trials\nheld out"])
    ax.set(ylabel="pixel correlation", ylim=(0, 1.45), title=f"lines: {_OF}", yticks=np.arange(0, 1.1, 0.2))
    ax.title.set_fontsize(8)
    ax.legend(ncols=2, loc="upper left", fontsize=7)


def _ways(ax: Axes, result: Result) -> None:
    """Identification of unseen pictures among the five of their condition, with its shuffled null."""
    values = result.values
    keys = {"stimulus_five_way": "pixels, picture\nheld out",
            "stimulus_encoding_five_way": "encoding,\npicture held out",
            "condition_five_way": "pixels, condition\nheld out",
            "condition_encoding_five_way": "encoding, cond.\nheld out"}  # fmt: skip
    limits = {claim.key: claim.interval for claim in result.claims}
    table = {name: result.data["tables"][name] for name in ("stimulus", "condition")}
    for i, key in enumerate(keys):
        ax.bar(i, values[key], 0.5, color=npplot.COLORS["sky" if "encoding" in key else "blue"])
        name, source = key.split("_")[0], "encoding model" if "encoding" in key else "reconstruction"
        j = table[name]["source"].index(source)
        low, high = limits.get(key) or (table[name]["n_way_low"][j], table[name]["n_way_high"][j])
        ax.plot([i, i], [low, high], color="black", lw=1)
    null = np.asarray(result.data["null"])
    ax.axhspan(null.min(), null.max(), color=npplot.COLORS["grey"], alpha=0.25, lw=0, label="trials shuffled, range")
    ax.axhline(0.2, color="black", ls=":", label="chance")
    ax.set_xticks(range(4), list(keys.values()), fontsize=6.5)
    ax.set(ylabel="share identified, 1 of 5", ylim=(0, 1.25), yticks=np.arange(0, 1.1, 0.2))
    ax.legend(ncols=2, loc="upper left", fontsize=7)
