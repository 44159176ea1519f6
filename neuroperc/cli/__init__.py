"""The command line: every verb is a thin shell over one function.

Imports stand inside the verbs, so that ``neuroperc --help`` answers at once.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import __version__

app = typer.Typer(
    name="neuroperc",
    help="Foveated vision, visual search, motion, neural fitting and fMRI decoding, in degrees of visual angle.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

stimuli_app = typer.Typer(help="Write stimuli in degrees, seeded, with tables of what they show.", no_args_is_help=True)
app.add_typer(stimuli_app, name="stimuli")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of every random draw.")]
Device = Annotated[str | None, typer.Option(help="Torch device, such as cpu or cuda.  [default: cpu]")]


def main() -> None:
    """Run the command line; an error of the library is one red line and exit code 2."""
    try:
        app()
    except (ValueError, TypeError, RuntimeError, OSError, ImportError) as error:
        if "--debug" in sys.argv:
            raise
        typer.secho(f"neuroperc: {' '.join(str(error).split())}", fg=typer.colors.RED, err=True)
        sys.exit(2)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"neuroperc {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and stop.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    pass


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the page; made if it is missing.")] = Path("neuroperc-demo"),
    seed: Seed = 0,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Take the guided tour: a photograph through every stage, one HTML page of pictures with their numbers."""
    from ..demo import run_demo

    page = run_demo(out, seed=seed, device=device, progress=not as_json)
    _say({"page": str(page)}, f"Open {page} in a browser.", as_json)


@app.command()
def info(as_json: Json = False) -> None:
    """Print versions, device, threads, and the data folder with what is in it."""
    facts = _facts()
    rows = {**facts, "versions": ", ".join(f"{k} {v}" for k, v in facts["versions"].items() if v)}
    _say(facts, "\n".join(f"{name:<12} {value}" for name, value in rows.items()), as_json)


@app.command()
def foveate(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A picture, a folder of pictures, or a movie.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="The file or folder to write.")],
    fixation: Annotated[
        list[str] | None,
        typer.Option(metavar="X,Y", help="Gaze in degrees from the centre, y up; may be repeated.  [default: 0,0]"),
    ] = None,
    px_per_deg: Annotated[float | None, typer.Option(help="Pixels per degree at the centre of the screen.")] = None,
    size_deg: Annotated[
        str | None, typer.Option(metavar="H,W", help="Height and width of the picture, instead of --px-per-deg.")
    ] = None,
    gaze: Annotated[Path | None, typer.Option(help="For a movie: CSV with the columns time_s, x_deg, y_deg.")] = None,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Write pictures or a movie as a fovea resolves them, for one gaze or several."""
    from .pictures import foveate_files

    written = foveate_files(
        source,
        target,
        fixations_deg=[_pair("--fixation", text) for text in fixation or []],
        px_per_deg=px_per_deg,
        size_deg=None if size_deg is None else _pair("--size-deg", size_deg),
        gaze=gaze,
        device=device,
        progress=not as_json,
    )
    _say({"written": [str(path) for path in written]}, "\n".join(map(str, written)), as_json)


@app.command()
def metamer(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A picture.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to write.")],
    model: Annotated[str, typer.Option(help="luminance, energy, texture or neurofovea.")] = "luminance",
    scaling: Annotated[float, typer.Option(help="Width of a window divided by its eccentricity.")] = 0.5,
    fixation: Annotated[str, typer.Option(metavar="X,Y", help="Gaze in degrees from the centre, y up.")] = "0,0",
    seeds: Annotated[int, typer.Option(min=1, help="How many metamers, one a seed from --seed on.")] = 1,
    steps: Annotated[int, typer.Option(min=1, help="Evaluations of a synthesis at most.")] = 1500,
    px_per_deg: Annotated[float | None, typer.Option(help="Pixels per degree at the centre of the screen.")] = None,
    size_deg: Annotated[
        str | None, typer.Option(metavar="H,W", help="Height and width of the picture, instead of --px-per-deg.")
    ] = None,
    weights: Annotated[Path | None, typer.Option(help="For neurofovea: a VGG-16 file; else a pyramid.")] = None,
    seed: Seed = 0,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Write pictures that a model cannot tell from IN, a table of how well they match, and a sheet to look at."""
    from .metamers import metamer_files

    written = metamer_files(
        source,
        target,
        model=model,
        scaling=scaling,
        fixation_deg=_pair("--fixation", fixation),
        seeds=range(seed, seed + seeds),
        steps=steps,
        px_per_deg=px_per_deg,
        size_deg=None if size_deg is None else _pair("--size-deg", size_deg),
        weights=weights,
        device=device,
        progress=not as_json,
    )
    _say({"written": [str(path) for path in written]}, "\n".join(map(str, written)), as_json)


@app.command()
def search(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A picture.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to write.")],
    target: Annotated[
        str, typer.Option(metavar="X,Y,W,H", help="Box of the target: centre, width and height in degrees, y up.")
    ],
    model: Annotated[str, typer.Option(help="eccnet, ivsn, pixels or chance.")] = "eccnet",
    template: Annotated[Path | None, typer.Option(help="What the target looks like; else the box's picture.")] = None,
    weights: Annotated[Path | None, typer.Option(help="A VGG-16 file; else torchvision's, fetched once.")] = None,
    budget: Annotated[int, typer.Option(min=1, help="Most fixations after the start.")] = 20,
    px_per_deg: Annotated[float | None, typer.Option(help="Pixels per degree at the centre of the screen.")] = None,
    size_deg: Annotated[
        str | None, typer.Option(metavar="H,W", help="Height and width of the picture, instead of --px-per-deg.")
    ] = None,
    seed: Seed = 0,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Write where a model looks on the way to a target: fixations, trials, and the scanpath on the picture."""
    from .search import search_files

    written = search_files(
        source,
        out,
        box_deg=_numbers("--target", target, 4),
        model=model,
        template=template,
        weights=weights,
        budget=budget,
        px_per_deg=px_per_deg,
        size_deg=None if size_deg is None else _pair("--size-deg", size_deg),
        seed=seed,
        device=device,
        progress=not as_json,
    )
    _say({"written": [str(path) for path in written]}, "\n".join(map(str, written)), as_json)


@app.command()
def motion(
    source: Annotated[Path, typer.Argument(metavar="MOVIE", help="A movie.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to write.")],
    sf_cpi: Annotated[
        str, typer.Option(metavar="F,F,...", help="Spatial frequencies in cycles per image.")
    ] = "0,2,4,8,16",
    tf_hz: Annotated[str, typer.Option(metavar="F,F,...", help="Temporal frequencies in hertz.")] = "0,2,4",
    directions: Annotated[int, typer.Option(min=2, help="Directions of motion, an even number.")] = 8,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Write the motion-energy pyramid of a movie, a table of its filters, and energy by direction."""
    from .motion import motion_files

    written = motion_files(
        source,
        out,
        sf_cpi=_numbers("--sf-cpi", sf_cpi),
        tf_hz=_numbers("--tf-hz", tf_hz),
        n_directions=directions,
        device=device,
        progress=not as_json,
    )
    _say({"written": [str(path) for path in written]}, "\n".join(map(str, written)), as_json)


@app.command()
def score(
    source: Annotated[Path, typer.Argument(metavar="PICTURES", help="A folder of pictures, or a saved StimulusSet.")],
    responses: Annotated[Path, typer.Argument(metavar="RESPONSES", help="netCDF (ours or BrainIO's) or .npz.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to write.")],
    model: Annotated[list[str], typer.Option(help="A network of torchvision or timm; may be repeated.")],
    layer: Annotated[
        list[str] | None,
        typer.Option(help="A layer or a glob, such as 'blocks.*', or MODEL=GLOB; may be repeated.  [default: known]"),
    ] = None,
    weights: Annotated[str, typer.Option(help="default, random, wheel, or a file (for one model).")] = "default",
    rule: Annotated[str, typer.Option(help="signed, ev, r, brainscore-2026, brainscore-2025, ...")] = "signed",
    estimator: Annotated[str, typer.Option(help="pls or ridge.")] = "pls",
    splits: Annotated[int, typer.Option(min=1, help="Divisions into training and test stimuli.")] = 10,
    stratify: Annotated[str | None, typer.Option(help="Label of the presentations kept in proportion.")] = None,
    reliability: Annotated[float | None, typer.Option(help="Of every neuron, where there are no repeats.")] = None,
    px_per_deg: Annotated[float | None, typer.Option(help="Pixels per degree at the centre of the screen.")] = None,
    size_deg: Annotated[
        str | None, typer.Option(metavar="H,W", help="Height and width of a picture, instead of --px-per-deg.")
    ] = None,
    visual_deg: Annotated[float | None, typer.Option(help="Degrees that the network's input spans.")] = None,
    foveate: Annotated[bool, typer.Option("--foveate", help="Show what a fovea resolves.")] = False,
    fixation_deg: Annotated[
        str | None, typer.Option(metavar="X,Y", help="Gaze from the centre, y up, with --foveate or --visual-deg.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on in OUT where an earlier run stopped.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of splits, halves and resamples; 1 gives Brain-Score's.")] = 1,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Write how well each layer of a network predicts neurons, or several networks: table, JSON, figure."""
    from .candidates import compare_files
    from .score import score_files

    options: dict[str, Any] = {
        "weights": weights, "chosen": layer or (), "rule": rule, "estimator": estimator, "splits": splits,
        "stratify": stratify, "reliability": reliability, "px_per_deg": px_per_deg,
        "size_deg": None if size_deg is None else _pair("--size-deg", size_deg), "visual_deg": visual_deg,
        "foveate": foveate, "fixation_deg": None if fixation_deg is None else _pair("--fixation-deg", fixation_deg),
        "resume": resume, "seed": seed, "device": device, "progress": not as_json,
    }  # fmt: skip
    if len(model) > 1:
        facts = compare_files(source, responses, out, models=model, **options)
        head = f"{'model':<24} {'region':<8} {'best layer':<24} {'r':>6} {'score':>6}  {facts['best'][0]['measure']}"
        rows = [
            f"{row['model']:<24} {row['region']:<8} {row['layer']:<24} {_scored(row, 'r')}" for row in facts["best"]
        ]
        _say(facts, "\n".join([head, *rows, *facts["written"]]), as_json)
        return
    facts = score_files(source, responses, out, model=model[0], **options)
    rows = [f"{row['layer']:<30} {_scored(row, 'median_r')}" for row in facts["layers"]]
    head = f"{'layer':<30} {'r':>6} {'score':>6}  {facts['interval_of']}"
    without = facts["undefined_neuroids"]
    named = ", ".join(map(str, without[:5])) + (", ..." if len(without) > 5 else "")
    foot = (
        f"rule {facts['rule']} ({facts['formula']}), {facts['estimator']}, {facts['splits']} splits, "
        f"{facts['n_neuroids']} neurons{f' ({len(without)} without a score: {named})' if without else ''}, "
        f"{facts['n_stimuli']} stimuli, median reliability {_number(facts['median_reliability'])}"
    )
    _say(facts, "\n".join([head, *rows, foot, *facts["written"]]), as_json)


@app.command()
def decode(
    source: Annotated[Path, typer.Argument(metavar="IN", help="Betas, a volume a trial, or an .npz or .mat file.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to write.")],
    mask: Annotated[Path | None, typer.Option(help="A volume on the same grid; voxels above 0 are read.")] = None,
    trials: Annotated[Path | None, typer.Option(help="Table with a row a volume and the column stimulus_id.")] = None,
    scale: Annotated[float | None, typer.Option(help="Factor of integers without a scaling of their own.")] = None,
    drop_nan: Annotated[bool, typer.Option("--drop-nan", help="Leave out voxels with NaN.")] = False,
    label: Annotated[str | None, typer.Option(help="Column of categories; then these are decoded.")] = None,
    run: Annotated[str, typer.Option(help="Column of runs, which are held out whole.")] = "run",
    permutations: Annotated[int, typer.Option(min=0, help="Of labels within runs; 0 tests nothing.")] = 1000,
    pictures: Annotated[Path | None, typer.Option(help="Folder of pictures named by stimulus_id.")] = None,
    condition: Annotated[str | None, typer.Option(help="Column; candidates are of one condition.")] = None,
    hold_out: Annotated[str | None, typer.Option(help="Column of what is held out whole.  [default: stimuli]")] = None,
    side_px: Annotated[int, typer.Option(min=2, help="Side of the grey squares that pictures become.")] = 28,
    screen: Annotated[int, typer.Option(min=0, help="Weight voxels by so many components of pictures.")] = 0,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Read categories or pictures from a brain, whole runs or stimuli held out, beside what guessing gives."""
    from .decode import decode_files, summary_lines

    facts = decode_files(
        source, out, mask=mask, trials=trials, scale=scale, drop_nan=drop_nan, label=label, run=run,
        permutations=permutations, pictures=pictures, condition=condition, hold_out=hold_out, side_px=side_px,
        screen=screen, seed=seed, progress=not as_json,
    )  # fmt: skip
    _say(facts, "\n".join([*summary_lines(facts), *facts["written"]]), as_json)


_PxPerDeg = Annotated[float, typer.Option(help="Pixels per degree at the centre of the screen.")]
_SizeDeg = Annotated[float, typer.Option(help="Side of the square in degrees.")]
_DurationS = Annotated[float, typer.Option(help="Duration in seconds, rounded to whole frames.")]
_Fps = Annotated[float, typer.Option(help="Frames per second.")]
_DirectionDeg = Annotated[float, typer.Option(help="Direction of motion, counter-clockwise from rightward.")]


@stimuli_app.command("grating")
def stimuli_grating(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The movie to write: .mkv (lossless) or .mp4.")],
    sf_cpd: Annotated[float, typer.Option(help="Spatial frequency in cycles per degree.")] = 1.0,
    tf_hz: Annotated[float, typer.Option(help="Temporal frequency in hertz.")] = 4.0,
    direction_deg: _DirectionDeg = 0.0,
    contrast: Annotated[float, typer.Option(help="Michelson contrast.")] = 0.5,
    px_per_deg: _PxPerDeg = 32.0,
    size_deg: _SizeDeg = 6.0,
    duration_s: _DurationS = 1.0,
    fps: _Fps = 60.0,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Write a drifting grating as a movie with a table of what it shows."""
    _moving("grating", out, px_per_deg, size_deg, duration_s, fps, seed, as_json, sf_cpd=sf_cpd, tf_hz=tf_hz,
            direction_deg=direction_deg, contrast=contrast)  # fmt: skip


@stimuli_app.command("plaid")
def stimuli_plaid(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The movie to write: .mkv (lossless) or .mp4.")],
    sf_cpd: Annotated[float, typer.Option(help="Spatial frequency of both components in cycles per degree.")] = 1.0,
    tf_hz: Annotated[float, typer.Option(help="Temporal frequency of both components in hertz.")] = 4.0,
    direction_deg: _DirectionDeg = 0.0,
    contrast: Annotated[float, typer.Option(help="Michelson contrast of each component.")] = 0.25,
    px_per_deg: _PxPerDeg = 32.0,
    size_deg: _SizeDeg = 6.0,
    duration_s: _DurationS = 1.0,
    fps: _Fps = 60.0,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Write a plaid, two gratings 120 degrees apart, as a movie with a table of what it shows."""
    _moving("plaid", out, px_per_deg, size_deg, duration_s, fps, seed, as_json, sf_cpd=sf_cpd, tf_hz=tf_hz,
            direction_deg=direction_deg, component_contrast=contrast)  # fmt: skip


@stimuli_app.command("dots")
def stimuli_dots(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The movie to write: .mkv (lossless) or .mp4.")],
    speed_deg_s: Annotated[float, typer.Option(help="Speed of the signal dots in degrees per second.")] = 4.0,
    direction_deg: _DirectionDeg = 0.0,
    coherence: Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of signal dots.")] = 1.0,
    px_per_deg: _PxPerDeg = 32.0,
    size_deg: _SizeDeg = 6.0,
    duration_s: _DurationS = 1.0,
    fps: _Fps = 60.0,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Write a random-dot kinematogram as a movie with a table of what it shows."""
    _moving("dots", out, px_per_deg, size_deg, duration_s, fps, seed, as_json, speed_deg_s=speed_deg_s,
            direction_deg=direction_deg, coherence=coherence)  # fmt: skip


@stimuli_app.command("search")
def stimuli_search(
    name: Annotated[str, typer.Argument(help="The task, such as curve_among_lines or t_among_ls.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to write.")],
    set_size: Annotated[list[int] | None, typer.Option(help="Items on a display; may be repeated.")] = None,
    n: Annotated[int | None, typer.Option(min=1, help="Displays for each set size.  [default: the paper's]")] = None,
    jpeg_quality: Annotated[int | None, typer.Option(help="Pass the pictures through a JPEG, 1 to 95.")] = None,
    reverse: Annotated[bool, typer.Option("--reverse", help="Exchange dark and light.")] = False,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Write visual search displays as pictures, with tables of displays, items and cells."""
    from .search import display_files

    written = display_files(
        name, out, set_sizes=set_size or (), n=n, jpeg_quality=jpeg_quality, reversed_polarity=reverse, seed=seed
    )
    facts = {"written": [str(path) for path in written]}
    _say(facts, f"{len(written) - 3} displays and three tables in {out}", as_json)


@app.command()
def run(
    experiment: Annotated[str, typer.Argument(help="A name under ./experiments, or the path of a script.")],
    profile: Annotated[str, typer.Option(help="Table of parameters: smoke or paper.")] = "smoke",
    out: Annotated[Path | None, typer.Option(help="Folder for JSON and PNG.  [default: results]")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Replace the seed of the profile.")] = None,
    device: Device = None,
    redraw: Annotated[bool, typer.Option("--redraw", help="Measure nothing; draw the stored result again.")] = False,
    as_json: Json = False,
) -> None:
    """Run a paper's experiment and judge its claims."""
    from ..experiment import run_experiment

    result = run_experiment(
        experiment, profile=profile, out=out, seed=seed, device=device, progress=not as_json, redraw=redraw
    )
    verdict = {True: "holds", False: "DOES NOT HOLD", None: "not measured"}
    lines = [f"{claim.key}: {verdict[claim.holds]} ({claim.ours} {claim.unit})" for claim in result.claims]
    lines += [f"deviations: {'; '.join(result.deviations) or 'none'}", *filter(None, [result.summary])]
    _say(result.to_dict(), "\n".join(lines), as_json)


@app.command()
def report(
    results: Annotated[Path, typer.Argument(help="Folder with the JSON files of `run`.")] = Path("experiments/results"),
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit 1 when LEDGER.md is out of date.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write LEDGER.md: every claim of every result, whether it holds or not."""
    from ..experiment import write_ledger

    path, current = write_ledger(results, dry_run=check)
    state = "is up to date" if current else ("is out of date: run `neuroperc report`" if check else "was written")
    _say({"ledger": str(path), "current": current}, f"{path} {state}", as_json)
    if check and not current:
        raise typer.Exit(1)


def _moving(
    kind: str, out: Path, px_per_deg: float, size_deg: float, duration_s: float, fps: float, seed: int, as_json: bool,
    **options: float,
) -> None:  # fmt: skip
    from .motion import stimulus_file

    written = stimulus_file(
        kind, out, px_per_deg=px_per_deg, size_deg=size_deg, duration_s=duration_s, fps=fps, seed=seed, **options
    )
    _say({"written": [str(path) for path in written]}, "\n".join(map(str, written)), as_json)


def _say(facts: dict[str, Any], text: str, as_json: bool) -> None:
    typer.echo(json.dumps(facts, indent=1, ensure_ascii=False) if as_json else text)


def _number(value: float | None) -> str:
    return f"{'none' if value is None else format(value, '.3f'):>6}"


def _scored(row: dict[str, Any], r: str) -> str:
    ends = f"[{_number(row['low'])}, {_number(row['high'])}]"
    return f"{_number(row[r])} {_number(row['score'])}  {ends}"


def _pair(option: str, text: str) -> tuple[float, float]:
    from .._check import fail, pair

    parts = text.split(",")
    if len(parts) != 2:
        fail(option, "two numbers with a comma", text, f"Write for example {option} 2.5,-1.")
    try:
        return pair(option, parts, "with a comma")
    except TypeError as error:
        raise ValueError(str(error)) from None


def _numbers(option: str, text: str, n: int | None = None) -> Any:
    from .._check import fail

    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) == 0 or n not in (None, len(values)):
        fail(option, f"{n or 'some'} numbers with commas", text, f"Write for example {option} 3,-1,2,2.")
    return values


def _facts() -> dict[str, Any]:
    """Return what `info` prints: where this runs, and which data it can see."""
    import os

    import torch

    from ..experiment import provenance

    facts = provenance()
    facts["cuda"] = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] or "none"
    folder = os.environ.get("NEUROPERC_DATA")
    facts["data"] = folder or "NEUROPERC_DATA is unset: packaged samples only"
    if folder and not Path(folder).is_dir():
        facts["data"] += " (NOT A FOLDER)"
    elif folder:
        facts["data holds"] = ", ".join(sorted(p.name for p in Path(folder).iterdir() if p.is_dir())) or "nothing"
    return facts
