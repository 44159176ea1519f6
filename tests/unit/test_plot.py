"""Figures: what lands where, units on the axes, errors, no global state."""

import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
import torch
from IPython.core.formatters import DisplayFormatter

from neuroperc import plot
from neuroperc.color import srgb_to_linear
from neuroperc.display import Display

DISPLAY = Display.from_px_per_deg(4, resolution_px=(48, 64))
FLAT = Display.from_px_per_deg(4, resolution_px=(48, 200), distance_m=0.5)


def ticks(ax):
    labels = [float(t.get_text().replace("−", "-")) for t in ax.get_xticklabels()]
    return dict(zip(labels, ax.get_xticks(), strict=True))


def test_a_picture_is_shown_as_srgb_and_labelled_in_degrees():
    code = 0.5
    ax = plot.show_image(torch.full((3, 48, 64), float(srgb_to_linear(np.array(code)))), display=DISPLAY)
    shown = np.asarray(ax.get_images()[0].get_array())
    np.testing.assert_allclose(shown, np.full((48, 64, 3), code), atol=1e-6)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("x (deg)", "y (deg)")
    assert ticks(ax)[2.0] == pytest.approx(31.5 + 8)


def test_ticks_of_a_flat_screen_are_not_evenly_spaced():
    places = ticks(plot.show_image(np.zeros((48, 200)), display=FLAT))
    assert places[20.0] - places[10.0] > 1.02 * (places[10.0] - places[0.0])
    assert places[20.0] == pytest.approx(float(FLAT.to_px((20.0, 0.0))[0]))


def test_y_points_up():
    ax = plot.show_image(np.zeros((48, 64)), display=DISPLAY, fixation_deg=(2.0, 3.0))
    x, y = ax.lines[-1].get_data()
    assert (x[0], y[0]) == (31.5 + 8, 23.5 - 12)


@pytest.mark.parametrize(
    ("image", "error", "says"),
    [
        (np.full((3, 48, 64), np.nan), ValueError, "9216 NaN"),
        (np.zeros((48, 64, 3)), ValueError, r"one picture, \(1 or 3, h, w\)"),
        (np.zeros((2, 3, 48, 64)), ValueError, "Index the batch first"),
        (np.zeros((3, 48, 64), dtype=np.uint8), ValueError, "Divide 8-bit codes by 255"),
        (np.zeros((3, 10, 10)), ValueError, r"as large as the display, \(48, 64\), got \(10, 10\)"),
    ],
)
def test_a_picture_that_is_none_is_refused(image, error, says):
    with pytest.raises(error, match=says):
        plot.show_image(image, display=DISPLAY)


def test_a_fixation_needs_a_display():
    with pytest.raises(ValueError, match="left out without a display"):
        plot.show_image(np.zeros((48, 64)), fixation_deg=(0, 0))


def test_agreement_draws_line_band_and_legend():
    ax = plot.agreement_by_eccentricity(
        [1, 5], torch.tensor([0.9, 0.5]), interval=[[0.8, 0.4], [1, 0.6]], interval_of="range of 6", label="V1"
    )
    assert ax.lines[0].get_ydata() == pytest.approx([0.9, 0.5])
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["V1", "range of 6"]
    assert ax.get_xlabel() == "eccentricity (deg)"
    assert plot.agreement_by_eccentricity([1, 5], [0.1, 0.2], ax=ax) is ax


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: plot.agreement_by_eccentricity([1, 2], [1]), "2 values, as many as eccentricities, got 1"),
        (lambda: plot.agreement_by_eccentricity([], []), "a list of numbers"),
        (lambda: plot.agreement_by_eccentricity([1, 2], [1, np.nan]), "1 NaN"),
        (lambda: plot.agreement_by_eccentricity([1], [1], interval=[[0], [1]]), "Say what the band is"),
        (lambda: plot.agreement_by_eccentricity([1], [1], interval=[0, 1], interval_of="SD"), r"of shape \(2, 1\)"),
        (lambda: plot.transfer([0, 1], [1, 1]), "A logarithmic axis has no 0"),
        (lambda: plot.transfer([1, 2], [1]), "as many as frequencies"),
        (lambda: plot.scanpath([(0, 0, 0)], DISPLAY), r"\(n, 2\)"),
        (lambda: plot.scanpath([(0, np.inf)], DISPLAY), "1 NaN or infinite"),
        (lambda: plot.scanpath([(0, 0)], DISPLAY, duration_s=[0.0]), "above 0 seconds"),
        (lambda: plot.scanpath([(0, 0)], DISPLAY, duration_s=[1, 2]), "1 durations"),
        (lambda: plot.figure(width_in=0), "width_in must be a finite number above 0"),
    ],
)
def test_bad_numbers_are_named(call, says):
    with pytest.raises(ValueError, match=says):
        call()


def test_transfer_marks_the_cutoff_and_theory():
    ax = plot.transfer([1, 2, 4], [1, 0.5, 0.1], expected=[1, 0.5, 0.1], cutoff_cpd=2.0)
    assert ax.get_xscale() == "log"
    assert len(ax.lines) == 3


def test_a_scanpath_is_numbered_from_zero_at_its_points():
    ax = plot.scanpath([(0, 0), (2, 3)], DISPLAY, image=np.zeros((48, 64)), duration_s=[0.2, 0.4], label="model")
    assert [t.get_text() for t in ax.texts] == ["0", "1"]
    assert ax.texts[1].get_position() == (39.5, 11.5)
    sizes = ax.collections[0].get_sizes()
    assert sizes[1] == pytest.approx(2 * sizes[0])


def test_no_global_state_and_repeatable_bytes():
    before = dict(mpl.rcParams)
    first, again = (plot.png(plot.show_image(np.zeros((48, 64)), display=DISPLAY)) for _ in range(2))
    assert dict(mpl.rcParams) == before
    assert first == again


def test_pyplot_is_not_loaded():
    code = "import neuroperc.plot as p; p.figure(); import sys; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_psychometric_draws_data_curve_threshold_and_names_its_intervals():
    ax = plot.psychometric(
        [0.1, 0.2, 0.4],
        [9, 14, 18],
        18,
        curve=lambda x: 0.5 + 0 * x,
        threshold=(0.15, 0.0, 0.18),
        interval_of="95 % of s0",
    )
    names = [t.get_text() for t in ax.get_legend().get_texts()]
    assert names == ["95 % of s0", "chance", "95 % interval of each proportion"]
    assert [t.get_text() for t in ax.texts] == ["◂"]  # the open side
    low = ax.collections[0].get_segments()[0][0][1]
    assert low == pytest.approx(0.260191, abs=1e-6)  # Clopper-Pearson of 9 in 18
    assert plot.psychometric([0.1, 0.2], [1, 2], [3, 3], ax=ax) is ax
    assert [t.get_text() for t in ax.get_legend().get_texts()].count("chance") == 1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"n_correct": [4, 1]}, "n_correct must be between 0 and n_trials"),
        ({"n_correct": [1]}, "2 counts, as many as levels"),
        ({"level": [0, 1]}, "Pass log=False"),
        ({"threshold": (1, 1, 1)}, "Say what the band is"),
        ({"level": [1, np.nan]}, "1 NaN"),
    ],
)
def test_bad_counts_are_named(options, says):
    with pytest.raises(ValueError, match=says):
        plot.psychometric(**{"level": [1, 2], "n_correct": [1, 1], "n_trials": [3, 3], **options})


def test_notebooks_show_figures():
    shown, _ = DisplayFormatter().format(plot.figure(1, 2))
    assert shown["image/png"][1:4] == b"PNG"


def test_layer_profiles_say_what_bars_and_bands_are():
    ax = plot.layer_profile(
        ["conv1", "conv2"], [0.2, 0.4], interval=[[0.1, 0.3], [0.35, 0.5]], interval_of="SD", ceiling=(0.7, 0.8),
        ceiling_of="Nili bounds", label="net",
    )  # fmt: skip
    assert [t.get_text() for t in ax.get_xticklabels()] == ["conv1", "conv2"]
    assert ax.get_legend_handles_labels()[1] == ["Nili bounds", "net, SD"]
    assert plot.layer_profile(["conv1", "conv2"], [0.1, np.nan], ax=ax) is ax
    plot.layer_profile(["conv1", "conv2"], [-0.4, 1.2], interval=[[-0.6, 0], [1, 1.5]], interval_of="SD", ax=ax)
    low, high = ax.get_ylim()
    assert low < -0.6 and high > 1.5  # a second model is not cut by the limits of the first
    for call, words in (
        (lambda: plot.layer_profile(["a"], [1, 2]), "1 values, one a layer"),
        (lambda: plot.layer_profile(["a"], [1], interval=[[0, 1]]), "Say what it is"),
        (lambda: plot.layer_profile(["a"], [1], ceiling=(0, 1)), "Say what it is"),
        (lambda: plot.layer_profile(["a"], [1], interval=[0, 1], interval_of="SD"), r"of shape \(1, 2\)"),
    ):
        with pytest.raises(ValueError, match=words):
            call()


def test_tuning_starts_at_the_centre_and_refuses_logarithms():
    ax = plot.direction_tuning([0, 90, 180, 270], [3.0, 2.0, 2.5, 2.0])
    assert ax.get_rmin() == 0
    with pytest.raises(ValueError, match="0 or more"):
        plot.direction_tuning([0, 90], [-1.0, 2.0])
