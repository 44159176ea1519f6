"""Simoncelli & Heeger 1998: component units in V1, pattern units in MT, and what the model's tuning is like."""

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from neuroperc import motion
from neuroperc import plot as npplot
from neuroperc.display import Display
from neuroperc.experiment import Measured, Result

PREFERRED = 0.2173 / np.sqrt(2)  # cycles per pixel and per frame of a unit at one pixel a frame
FPS = 100.0
SF, TF = (0.05, 0.08, 0.12, 0.16, 0.22, 0.3), (0.02, 0.05, 0.1, 0.15, 0.22, 0.3)  # of the reference's map


@dataclass(frozen=True)
class Config:
    """Directions of gratings and plaids, starting phases."""

    n_directions: int
    n_phases: int


def run(config: Config) -> Measured:
    """Measure plaids, direction, contrast, frequencies and two illusions."""
    # One degree a pixel and 100 frames a second, so that the figures are those of the toolbox.
    display = Display.from_px_per_deg(1, resolution_px=(39, 39), refresh_hz=FPS)
    own = {"sf_cpd": PREFERRED, "tf_hz": FPS * PREFERRED}
    shown = {"size_deg": 39.0, "duration_s": 0.15, "n_phases": config.n_phases, "rng": 0}
    models = {stage: motion.SimoncelliHeeger(stage=stage) for stage in ("v1", "mt")}
    plaids = {
        stage: motion.plaid_tuning(m, display, n_directions=config.n_directions, **own, **shown)
        for stage, m in models.items()
    }
    slow, v1 = plaids["mt"].table.iloc[1:7], plaids["v1"].table
    curve = {k: v.mean(0)[:, 1] for k, v in plaids["mt"].responses.items()}
    step = config.n_directions // 2
    contrast = motion.contrast_tuning(
        models["mt"], display, contrast=(0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.0), **own, **shown
    )
    maps = motion.frequency_tuning(models["mt"], display, sf_cpd=SF, tf_hz=FPS * np.array(TF), contrast=1.0, **shown)
    singular = np.linalg.svd(maps.responses["gratings"].mean(0)[..., 1], compute_uv=False)
    directions = motion.direction_statistics(
        plaids["mt"].responses["gratings"], plaids["mt"].conditions["direction_deg"], blank=plaids["mt"].blank
    )
    of_v1 = motion.direction_statistics(plaids["v1"].responses["gratings"], plaids["v1"].conditions["direction_deg"])
    values = {
        "mt_z_pattern": slow.z_pattern.mean(),
        "mt_z_component": slow.z_component.mean(),
        "mt_pattern": int((slow.kind == "pattern").sum()),
        "v1_component": int((v1.kind == "component").sum()),
        "v1_z_component": v1.z_component.median(),
        "order": {"v1": v1["index"].median(), "mt": slow["index"].median()},
        "mt_own": float(curve["gratings"][0]),
        "mt_opposite": float(curve["gratings"][step]),
        "mt_blank": float(plaids["mt"].blank[1]),
        "mt_half_contrast": float(contrast.responses["gratings"].mean(0)[2, 1]),
        "mt_c50": float(contrast.table.c50[1]),
        "mt_half_width": float(directions.half_width_deg[1:7].mean()),
        "v1_half_width": [float(v) for v in of_v1.half_width_deg[13:21].agg(["min", "max"])],
        "mt_xi": float(maps.table.xi[1]),
        "mt_separability": float(singular[0] ** 2 / (singular**2).sum()),
    }
    data = {
        "direction_deg": plaids["mt"].conditions["direction_deg"].tolist(),
        "mt": {k: v.tolist() for k, v in curve.items()},
        "v1": {k: v.mean(0)[:, 5].tolist() for k, v in plaids["v1"].responses.items()},
        "z_mt": plaids["mt"].table.iloc[1:][["z_component", "z_pattern"]].to_numpy().tolist(),
        "z_v1": v1[["z_component", "z_pattern"]].to_numpy().tolist(),
        "n": config.n_directions,
    }
    interval = {"mt_xi": (float(maps.table.xi_low[1]), float(maps.table.xi_high[1]))} if config.n_phases > 2 else {}
    return Measured(values, interval, "95 % interval over starting phases", data=data)


def plot(result: Result) -> Figure:
    """Draw one unit of each area, and the plane of Z values."""
    d = np.deg2rad(np.append(result.data["direction_deg"], 360.0))
    with npplot.style():
        canvas = npplot.figure(1, 3, width_in=3.6, height_in=3.4)
        for i, (area, title) in enumerate((("v1", "a V1 unit"), ("mt", "an MT unit, rightward"))):
            place = canvas.axes[i].get_subplotspec()
            canvas.axes[i].set_axis_off()
            ax = canvas.add_subplot(place, projection="polar")
            for name in ("gratings", "plaids"):
                curve = np.array(result.data[area][name])
                ax.plot(d, np.append(curve, curve[0]), label=name)
            ax.set_title(title + "\nradius: response")
            ax.set_yticklabels([])
            ax.set_xticks(np.deg2rad([0, 90, 180, 270]))
        ax.legend(loc="upper right", bbox_to_anchor=(1.35, 1.05))
        ax = canvas.axes[2]
        for name, marker in (("v1", "o"), ("mt", "s")):
            z = np.array(result.data[f"z_{name}"])
            ax.plot(
                z[:, 0],
                z[:, 1],
                marker,
                ms=4,
                alpha=0.8,
                label=f"{name.upper()}, {len(z)} units" + (", many alike" if name == "mt" else ""),
            )
        line = np.array([0, 30])
        ax.plot(line, line + 1.28, "k-", lw=0.7)
        ax.plot(line + 1.28, line, "k-", lw=0.7)
        ax.plot([-6, 0], [1.28, 1.28], "k-", lw=0.7)
        ax.plot([1.28, 1.28], [-6, 0], "k-", lw=0.7)
        ax.set(
            xlabel="Z of the component prediction", ylabel="Z of the pattern prediction", xlim=(-6, 30), ylim=(-6, 14)
        )
        for x, y, kind in ((-5.5, 12.5, "pattern"), (15, -5.2, "component"), (-5.5, -5.2, "neither")):
            ax.text(x, y, kind, color=npplot.COLORS["grey"], fontsize=8)
        ax.set_title(f"{result.data['n']} directions; lines: Z apart by 1.28")
        ax.legend(loc="center right", bbox_to_anchor=(1.02, 0.62))
    return canvas
