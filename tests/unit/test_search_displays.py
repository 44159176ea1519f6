"""Search displays: the published geometry of every experiment, seeds, places, masks, and refusals."""

import numpy as np
import pytest
import torch

import neuroperc as npc
from neuroperc.stimuli import SEARCH_TASKS, cell_table, item_table, search_displays
from neuroperc.stimuli._search_designs import DESIGNS
from neuroperc.stimuli._search_tiles import boxes, painted, side_px, turned, upright_bar

SIX = SEARCH_TASKS[:12]
PAPER = {  # spec: view in degrees, cells, set sizes, displays for each
    "curvature": (11.3, 36, [8, 16, 32], 30), "lighting": (6.6, 16, [1, 6, 12], 30), "cross": (20.5, 9, [3, 6, 9], 36),
    "l_vs_t": (20.5, 9, [3, 6, 9], 36), "orientation_homogeneous": (11.3, 16, [1, 4, 8, 12], 30),
    "orientation_heterogeneous": (11.3, 16, [1, 4, 8, 12], 30),
}  # fmt: skip
GROUND = {"curvature": 0, "lighting": 27}
JITTER_PX = {"curvature": 8, "lighting": 18, "cross": 28, "l_vs_t": 28, "orientation_homogeneous": 15,
             "orientation_heterogeneous": 15}  # fmt: skip


def codes(shown, item):
    values = shown[item].numpy() * 255
    whole = np.rint(values)
    np.testing.assert_allclose(values, whole, atol=1e-4)  # exactly 8-bit codes
    return whole.astype(int)


def tiles(name, px_per_deg=30):
    return DESIGNS[name].tiles(px_per_deg)


def ink(tile):
    return 255 - tile.codes[0].astype(int)


@pytest.mark.parametrize("name", SIX)
def test_the_papers_counts_sizes_and_background(name):
    view, n_cells, sizes, n_each = PAPER[DESIGNS[name].experiment]
    design = DESIGNS[name]
    assert (design.view_deg, design.n_grid**2, list(design.set_sizes), design.n_displays) == (
        view,
        n_cells,
        sizes,
        n_each,
    )
    shown = search_displays(None, name, n=1, rng=0)
    assert shown.encoding == "srgb"
    assert shown.table["set_size"].tolist() == sizes
    assert shown.display.px_per_deg == 30
    assert shown[0].shape == (1, round(view * 30), round(view * 30))
    np.testing.assert_allclose(shown.table[["width_deg", "height_deg"]], view)
    ground = GROUND.get(design.experiment, 255)
    assert codes(shown, 0)[shown.truth["masks"][[0]] == 0].tolist() == [ground] * int(
        (shown.truth["masks"][0] == 0).sum()
    )
    np.testing.assert_allclose(shown.table["background"], ground / 255)
    assert item_table(shown).groupby("stimulus_id")["is_target"].sum().tolist() == [1] * len(sizes)
    assert item_table(shown).groupby("stimulus_id").size().tolist() == sizes


def test_full_design_has_the_papers_number_of_displays():
    shown = search_displays(None, "vertical_shading", rng=3)
    assert shown.table.groupby("set_size").size().to_dict() == {1: 30, 6: 30, 12: 30}


@pytest.mark.parametrize("name", SIX)
def test_jitter_is_uniform_in_the_papers_range_and_items_stay_in_their_cells(name):
    experiment = DESIGNS[name].experiment
    shown = search_displays(None, name, set_size=max(DESIGNS[name].set_sizes), n=40, rng=1)
    items, cells = item_table(shown), cell_table(shown)
    joined = items.merge(cells, on=["stimulus_id", "cell"], suffixes=("", "_cell"))
    # Left edges of item and cell, in pixels.
    left = (joined["x_deg"] - joined["width_deg"] / 2 - joined["x_deg_cell"] + joined["width_deg_cell"] / 2) * 30
    top = (joined["y_deg_cell"] + joined["height_deg_cell"] / 2 - joined["y_deg"] - joined["height_deg"] / 2) * 30
    for shift in (left, top):
        np.testing.assert_allclose(shift, np.rint(shift), atol=1e-6)
        counts = np.bincount(np.rint(shift).astype(int), minlength=JITTER_PX[experiment])
        assert len(counts) == JITTER_PX[experiment]
        assert counts.min() > 0
    free = joined["width_deg_cell"] - joined["width_deg"]
    assert bool((left <= free * 30 + 1e-6).all())
    assert not items.duplicated(["stimulus_id", "cell"]).any()


def test_curve_and_line_geometry():
    curves, lines = tiles("curve_among_lines")
    assert curves[0].codes.shape == (1, 48, 48)
    # An arc of 1.3 rad on a circle of 1 degree, 1/6 degree thick; a line of 1.2 by 0.2 degrees.
    for tile in curves:
        assert tile.codes.sum() / 255 == pytest.approx(1.3 * 5 * 30, rel=0.01)
    for tile in lines:
        assert tile.codes.sum() / 255 == pytest.approx(36 * 6, rel=1e-2)
    assert [t.angle_deg for t in lines] == [45, 0, 135, 90]  # turned by -45, -90, -135, 180 from upright
    upright = lines[3].codes[0]
    assert np.flatnonzero(upright.any(1)).tolist() == list(range(6, 42))
    assert np.flatnonzero(upright.any(0)).tolist() == list(range(21, 27))
    # Three points of the arc turned by 180 degrees (bulging left) lie on a circle of 30 px.
    arc = curves[3].codes[0] / 255
    rows = np.array([10, 24, 38])
    x = (arc[rows] * np.arange(48)).sum(1) / arc[rows].sum(1)
    middle = (x[1] + 30, 24.0)
    np.testing.assert_allclose(np.hypot(x - middle[0], rows - middle[1]), 30, atol=0.4)


def test_looks_cycle_with_the_number_of_the_item():
    items = item_table(search_displays(None, "line_among_curves", set_size=16, n=3, rng=0))
    assert (items["variant"] == items["item"] % 4).all()


def test_discs_are_staircases_of_sixteen_greys():
    (target,), (other,) = tiles("vertical_shading")
    column = target.codes[0, :, 15]
    assert target.codes.shape == (1, 31, 31)
    assert column.tolist() == [255 - 17 * (row // 2) for row in range(31)]
    assert np.unique(column).tolist() == list(range(0, 256, 17))
    assert target.codes[0, 0, 0] == 27
    np.testing.assert_array_equal(other.codes[0], target.codes[0, ::-1])
    (left,), (right,) = tiles("horizontal_shading")
    np.testing.assert_array_equal(left.codes[0], target.codes[0].T)
    assert left.codes[0, 15, 0] == 255
    assert right.codes[0, 15, 30] == 255


def test_crosses_and_non_crosses_have_equal_ink():
    non_crosses, crosses = tiles("non_cross_among_crosses")
    assert crosses[0].codes.shape == (1, 177, 177)
    stroke, full = 0.55 * 30, 5.5 * 30
    amounts = [ink(tile).sum() / 255 for tile in (*crosses, *non_crosses)]
    np.testing.assert_allclose(amounts, 2 * stroke * full - stroke**2, rtol=1e-3)
    np.testing.assert_allclose(amounts, amounts[0], rtol=2e-4)
    base, other = ink(crosses[0]), ink(non_crosses[0])
    rows = np.flatnonzero(base[:, 10] > 0)  # the horizontal bar begins after the border of 6 px
    assert (rows[0], rows[-1]) == (6 + 49, 6 + 65)  # 3 to 4 strokes of 16.5 px from the top
    assert (base[:, 165] > 0).sum() == len(rows)
    right = np.flatnonzero(other[:, 165] > 0)
    assert (right[0], right[-1]) == (6 + 99, 6 + 115)  # 6 to 7 strokes
    np.testing.assert_array_equal(np.flatnonzero(other[:, 10] > 0), rows)
    assert ink(crosses[0])[:6].sum() == 0
    np.testing.assert_array_equal(ink(crosses[1]), base[::-1])
    np.testing.assert_array_equal(ink(crosses[2]), base.T)
    np.testing.assert_array_equal(ink(crosses[3]), base.T[:, ::-1])


def test_t_and_l_have_equal_ink_and_their_bars():
    ts, ls = tiles("t_among_ls")
    np.testing.assert_allclose([ink(t).sum() for t in (*ts, *ls)], ink(ts[0]).sum(), rtol=2e-4)
    t, low = ink(ts[0]), ink(ls[0])
    assert (t[10, 6:171] == 255).all()
    assert t[160, 88] == 255
    assert t[160, 20] == 0
    assert (low[165, 6:171] == 255).all()
    assert low[20, 10] == 255
    assert low[20, 88] == 0


def test_orientations():
    (tilted,), (vertical,) = tiles("tilted_among_vertical")
    assert (tilted.angle_deg, vertical.angle_deg) == (70, 90)
    bar = ink(vertical)
    assert bar.shape == (69, 69)
    assert (bar.any(1).sum(), bar.any(0).sum()) == (60, 9)
    for name, target in (("vertical_among_mixed", 90), ("tilted_among_mixed", 70)):
        (goal,), others = tiles(name)
        assert goal.angle_deg == target
        tilts = {90.0 - t for t in range(-80, 100, 20) if t != 90} - {target}
        assert sorted(t.angle_deg for t in others) == sorted(a % 180 for a in tilts)
        assert len(others) == 8
    # Measured from the pixels: the axis of the second moment.
    y, x = np.indices((69, 69))
    weight = ink(tilted).astype(float)
    dx, dy = x - (x * weight).sum() / weight.sum(), -(y - (y * weight).sum() / weight.sum())
    moments = [(weight * a * b).sum() for a, b in ((dx, dx), (dx, dy), (dy, dy))]
    angle = np.rad2deg(0.5 * np.arctan2(2 * moments[1], moments[0] - moments[2])) % 180
    assert angle == pytest.approx(70, abs=0.2)


def test_each_of_the_eight_distractors_comes_once_before_any_comes_twice():
    items = item_table(search_displays(None, "tilted_among_mixed", set_size=12, n=20, rng=2))
    others = items[~items["is_target"]]
    first = others.groupby("stimulus_id").head(8)
    assert first.groupby("stimulus_id")["variant"].nunique().tolist() == [8] * 20
    orders = first.groupby("stimulus_id")["variant"].agg(tuple)
    assert orders.nunique() > 15


def test_conjunctions_share_half_of_their_distractors_with_each_feature():
    shown = search_displays(None, "conjunction", set_size=9, n=3, rng=0)
    items = item_table(shown)
    assert items.groupby("kind").size().to_dict() == {"green_vertical": 12, "red_horizontal": 12, "red_vertical": 3}
    assert shown[0].shape == (3, 339, 339)
    red, green = np.array([255, 0, 0]) / 255, np.array([0, 148, 0]) / 255
    lights = [float(npc.color.luminance(npc.color.srgb_to_linear(c), axis=0)[0]) for c in (red, green)]
    assert lights[0] == pytest.approx(lights[1], rel=0.01)


def test_two_and_five_are_mirror_images_with_equal_ink():
    (two,), (five,) = tiles("two_among_fives")
    np.testing.assert_array_equal(two.codes, five.codes[..., ::-1])
    assert not np.array_equal(two.codes, five.codes)


@pytest.mark.parametrize("name", ["curve_among_lines", "horizontal_shading", "l_among_ts", "conjunction"])
def test_pictures_masks_tables_and_targets_agree(name):
    shown = search_displays(None, name, n=1, rng=5)
    items = item_table(shown)
    for i, (stimulus, row) in enumerate(shown.table.iterrows()):
        mask, mine = shown.truth["masks"][i], items[items["stimulus_id"] == stimulus]
        assert sorted(set(np.unique(mask)) - {0}) == list(range(1, int(row["set_size"]) + 1))
        target = mine[mine["is_target"]].iloc[0]
        assert (target["cell"], target["x_deg"], target["y_deg"]) == (
            row["target_cell"], row["target_x_deg"], row["target_y_deg"])  # fmt: skip
        assert target["variant"] == row["target"]
        # The target's tile cut out of the picture at its place in degrees is the target picture.
        half = row["target_width_deg"] / 2, -row["target_height_deg"] / 2
        corner = np.array([row["target_x_deg"], row["target_y_deg"]]) - half
        left, top = np.rint(shown.picture_px(i, corner) + 0.5).astype(int)
        picture = shown.truth["target_picture"][i]
        side = picture.shape[-1]
        np.testing.assert_array_equal(shown[i][:, top : top + side, left : left + side], picture)
        inside = mask[top : top + side, left : left + side]
        assert set(np.unique(inside)) == {0, target["item"] + 1}
        assert (mask == target["item"] + 1).sum() == (inside > 0).sum()


def test_cells_cover_the_display():
    shown = search_displays(None, "curve_among_lines", set_size=8, n=1, rng=0)
    cells = cell_table(shown)
    assert len(cells) == 36
    assert (cells["width_deg"] * cells["height_deg"]).sum() == pytest.approx(11.3**2)
    assert (cells["x_deg"].iloc[0] < 0, cells["y_deg"].iloc[0] > 0) == (True, True)


def test_seeds():
    one, same, other = (search_displays(None, "t_among_ls", set_size=(3, 6), n=3, rng=seed) for seed in (0, 0, 1))
    assert one == same
    assert one.fingerprint != other.fingerprint
    more = search_displays(None, "t_among_ls", set_size=(3, 6), n=5, rng=0)
    assert torch.equal(more["t_among_ls-06-001"], one["t_among_ls-06-001"])
    drawn = search_displays(None, "t_among_ls", set_size=3, n=2, rng=np.random.default_rng(0))
    assert torch.equal(drawn[0], one[0])


def test_targets_are_everywhere():
    table = search_displays(None, "horizontal_shading", set_size=6, n=400, rng=0).table
    counts = np.bincount(table["target_cell"], minlength=16)
    assert len(counts) == 16
    assert ((counts - 25) ** 2 / 25).sum() < 37.7  # chi-squared of 15 degrees of freedom, p = .001


def test_reversed_polarity_is_the_negative():
    paper, negative = (search_displays(None, "curve_among_lines", set_size=8, n=2, polarity=p, rng=0)
                       for p in ("paper", "reversed"))  # fmt: skip
    np.testing.assert_array_equal(codes(negative, 1), 255 - codes(paper, 1))
    np.testing.assert_array_equal(negative.truth["masks"], paper.truth["masks"])
    np.testing.assert_allclose(negative.truth["target_picture"], 1 - paper.truth["target_picture"], atol=1e-6)
    assert negative.table["background"].tolist() == [1.0, 1.0]


def test_jpeg_quality_changes_a_little():
    exact, good, poor = (search_displays(None, "l_among_ts", set_size=3, n=1, jpeg_quality=q, rng=0)
                         for q in (None, 95, 30))  # fmt: skip
    near, far = (float((s[0] - exact[0]).abs().mean()) for s in (good, poor))
    assert 0 < near < far < 0.02
    np.testing.assert_array_equal(poor.truth["masks"], exact.truth["masks"])
    assert not np.array_equal(poor.truth["target_picture"], exact.truth["target_picture"])
    codes(poor, 0)
    colored = search_displays(None, "conjunction", set_size=3, n=1, jpeg_quality=90, rng=0)
    assert colored[0].shape == (3, 339, 339)


@pytest.mark.parametrize("px_per_deg", [15, 30, 47.3])
def test_other_displays_show_the_same_degrees(px_per_deg):
    screen = npc.Display.from_px_per_deg(px_per_deg, resolution_px=(1000, 1200))
    for name in ("curve_among_lines", "vertical_shading", "tilted_among_mixed", "cross_among_non_crosses"):
        design = DESIGNS[name]
        shown = search_displays(screen, name, set_size=design.set_sizes[1], n=2, rng=0)
        side = shown[0].shape[-1]
        assert side == side_px(design.view_deg, px_per_deg)
        np.testing.assert_allclose(shown.table["width_deg"], side / px_per_deg)
        items = item_table(shown)
        np.testing.assert_allclose(items["width_deg"], design.item_deg, atol=0.51 / px_per_deg)
        assert np.abs(items[["x_deg", "y_deg"]].to_numpy()).max() < design.view_deg / 2
        assert not items.duplicated(["stimulus_id", "cell"]).any()
    assert shown.on_display(0, 1.0).shape == (1, 1000, 1200)


def test_a_measured_screen_gives_positions_by_its_own_geometry():
    lab = npc.Display(resolution_px=(1080, 1920), size_m=(0.30, 0.53), distance_m=0.57)
    shown = search_displays(lab, "t_among_ls", set_size=9, n=1, rng=0)
    row = shown.table.iloc[0]
    side = shown.truth["target_picture"].shape[-1]
    x, y = shown.picture_px(0, (row["target_x_deg"], row["target_y_deg"]))
    left, top = round(x - (side - 1) / 2), round(y - (side - 1) / 2)
    np.testing.assert_array_equal(shown[0][:, top : top + side, left : left + side], shown.truth["target_picture"][0])


def test_a_part_of_the_set_keeps_its_own_items(tmp_path):
    shown = search_displays(None, "curve_among_lines", set_size=(8, 16), n=2, rng=0)
    part = shown[shown.table["set_size"] == 16]
    items = item_table(part)
    assert items["stimulus_id"].unique().tolist() == part.ids
    assert len(items) == 32
    part.save(tmp_path / "displays")
    again = npc.StimulusSet.load(tmp_path / "displays")
    assert item_table(again).equals(items)
    assert again == part


def test_refusals():
    with pytest.raises(ValueError, match=r"name must be one of 'curve_among_lines'.*got curves"):
        search_displays(None, "curves", rng=0)
    with pytest.raises(ValueError, match="set_size must be at most 9, the cells of the grid, got 10"):
        search_displays(None, "t_among_ls", set_size=10, rng=0)
    with pytest.raises(ValueError, match="set_size must be a whole number of at least 1, got 0"):
        search_displays(None, "t_among_ls", set_size=0, rng=0)
    with pytest.raises(ValueError, match="different numbers"):
        search_displays(None, "t_among_ls", set_size=(3, 3), rng=0)
    with pytest.raises(ValueError, match="set_size must be one number or more"):
        search_displays(None, "t_among_ls", set_size=(), rng=0)
    small = npc.Display.from_px_per_deg(30, resolution_px=(300, 900))
    with pytest.raises(ValueError, match=r"display must be at least 11.3 degrees \(339 px\).*got \(300, 900\)"):
        search_displays(small, "curve_among_lines", rng=0)
    coarse = npc.Display.from_px_per_deg(4, resolution_px=(300, 300))
    with pytest.raises(ValueError, match=r"of at least 6 pixels per degree.*got 4"):
        search_displays(coarse, "curve_among_lines", rng=0)
    with pytest.raises(ValueError, match="jpeg_quality must be 1 to 95, got 100"):
        search_displays(None, "t_among_ls", n=1, jpeg_quality=100, rng=0)
    with pytest.raises(ValueError, match="polarity"):
        search_displays(None, "t_among_ls", n=1, polarity="black", rng=0)
    with pytest.raises(TypeError, match="rng must be an int"):
        search_displays(None, "t_among_ls", n=1, rng=None)
    plain = npc.StimulusSet.from_arrays(np.zeros((1, 1, 339, 339)), display=npc.Display.from_px_per_deg(
        30, resolution_px=(339, 339)))  # fmt: skip
    with pytest.raises(ValueError, match="stimuli must be search displays"):
        item_table(plain)
    with pytest.raises(ValueError, match="stimuli must be search displays"):
        cell_table("displays")


def test_turning_equals_opencv():
    cv2 = pytest.importorskip("cv2")
    bar = upright_bar(2.3, 2.0, 0.3, 30)
    for clockwise in (20, -40, 80, 45):
        matrix = cv2.getRotationMatrix2D((34, 34), -clockwise, 1)
        theirs = cv2.warpAffine(bar, matrix, (69, 69), flags=cv2.INTER_LINEAR)
        # OpenCV rounds positions to 1/32 of a pixel.
        assert np.abs(turned(bar, clockwise) - theirs).max() < 0.07
        assert np.abs(turned(bar, clockwise) - theirs).mean() < 0.002
    np.testing.assert_array_equal(turned(bar, 90), np.rot90(bar, -1))


def test_areas_are_exact_for_edges_on_eighths_of_a_pixel():
    from neuroperc.stimuli._search_tiles import area

    share = area(1.0, 8, boxes((-0.25 + 1 / 64, 0.25, -0.125, 0.125)))
    assert share.sum() == pytest.approx((0.5 - 1 / 64) * 0.25 * 64)
    assert share[3, 2] == pytest.approx(7 / 8)
    assert painted(share, (10, 200), 100)[0, 3, 3] == 10
