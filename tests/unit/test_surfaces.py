"""Surfaces, drawings, voxels to vertices, flat maps, glass brains: on a small made mesh."""

import gzip

import matplotlib as mpl
import nibabel
import numpy as np
import pytest
from nibabel.gifti import GiftiDataArray, GiftiImage

from neuroperc import plot
from neuroperc.data import make_responses
from neuroperc.decoding import (
    FlatBrain,
    plant_brain,
    read_betas,
    read_flat_brain,
    read_map,
    read_surface,
    to_region_masks,
    to_vertices,
    write_map,
)
from neuroperc.decoding.volumes._svg import polylines
from neuroperc.plot._raster import rasterize


def sheet(n=12, m=9, step=2.0):
    """A flat sheet of n by m vertices, two triangles a cell."""
    x, y = np.meshgrid(np.arange(n) * step, np.arange(m) * step)
    points = np.stack([x.ravel(), y.ravel(), np.zeros(n * m)], axis=1)
    a = (np.arange(m - 1)[:, None] * n + np.arange(n - 1)).ravel()
    return points, np.concatenate([np.stack([a, a + 1, a + n], 1), np.stack([a + 1, a + n + 1, a + n], 1)])


def save(path, points, triangles):
    arrays = [GiftiDataArray(points.astype(np.float32), intent="NIFTI_INTENT_POINTSET"),
              GiftiDataArray(triangles.astype(np.int32), intent="NIFTI_INTENT_TRIANGLE")]  # fmt: skip
    nibabel.save(GiftiImage(darrays=arrays), path)


DRAWING = """<svg xmlns="http://www.w3.org/2000/svg" xmlns:inkscape="http://www.inkscape.org/namespaces/inkscape"
 width="440" height="160"><g id="rois" inkscape:label="rois"><g inkscape:label="shapes" id="s">
 <g inkscape:label="V1" id="a"><path d="M 20,20 h 80 v 60 h -80 z"/><path d="m 340,20 80,0 0,60 -80,0 z"/></g>
 <g inkscape:label="V2" id="b" transform="translate(0,80)"><path d="M20,20 L100,20 L100,60 20,60 Z"/></g>
 <g inkscape:label="none" id="c"/></g></g></svg>"""


@pytest.fixture
def folder(tmp_path):
    points, triangles = sheet()
    save(tmp_path / "flat_lh.gii", points, triangles)
    save(tmp_path / "flat_rh.gii.gz", points, triangles)
    for side in ("lh", "rh"):
        for name, z in (("white", 0.0), ("pial", 3.0)):
            save(tmp_path / f"{name}_{side}.gii", points + np.array([30.0 * (side == "rh"), 0, z]), triangles)
    (tmp_path / "overlays.svg").write_text(DRAWING)
    (tmp_path / "overlays.svg.gz").write_bytes(gzip.compress(DRAWING.encode()))
    return tmp_path


@pytest.fixture
def flat(folder):
    return read_flat_brain(folder / "flat_lh.gii", folder / "flat_rh.gii.gz", outlines=folder / "overlays.svg.gz")


def test_hemispheres_lie_side_by_side(flat):
    assert flat.points_mm.shape == (216, 2)
    assert flat.n_left == 108
    assert flat.points_mm[:108, 0].max() == flat.points_mm[108:, 0].min() == 0
    assert flat.triangles.max() == 215
    assert flat.curvature is None


def test_outlines_lie_where_the_page_puts_them(flat):
    """The page of 440 x 160 covers 44 x 16 mm, from x = -22 mm and from y = 16 mm downwards."""
    assert list(flat.outlines) == ["V1", "V2"]
    np.testing.assert_allclose(flat.outlines["V1"][0][:4], [[-20, 14], [-12, 14], [-12, 8], [-20, 8]])
    np.testing.assert_allclose(flat.outlines["V1"][1][:4], [[12, 14], [20, 14], [20, 8], [12, 8]])
    np.testing.assert_allclose(flat.outlines["V2"][0][0], [-20, 6])


def test_vertices_belong_to_the_outline_that_holds_them(flat):
    x, y = flat.points_mm.T
    inside = (abs(x) > 12) & (abs(x) < 20) & (y > 8) & (y < 14)
    np.testing.assert_array_equal(flat.regions[inside], "V1")
    outside = (abs(x) < 12) | (abs(x) > 20)
    np.testing.assert_array_equal(flat.regions[outside], "")


def test_paths_of_every_command():
    square = polylines("M0 0H10V10H0Z", "x")[0]
    np.testing.assert_array_equal(square, [[0, 0], [10, 0], [10, 10], [0, 10], [0, 0]])
    moved = polylines("m 5,5 10,0 0,10 z m 20,20 1,0 0,1", "x")
    np.testing.assert_array_equal(moved[0], [[5, 5], [15, 5], [15, 15], [5, 5]])
    np.testing.assert_array_equal(moved[1][0], [25, 25])  # relative to where the first path closed
    k = 4 / 3 * (np.sqrt(2) - 1)  # a quarter circle as a cubic
    circle = polylines(f"M1,0 C1,{k} {k},1 0,1 S-1,{k} -1,0 S{-k},-1 0,-1 S1,{-k} 1,0z", "x")[0]
    np.testing.assert_allclose(np.linalg.norm(circle, axis=1), 1, atol=1e-3)
    assert len(circle) == 1 + 4 * 12 + 1
    parabola = polylines("M0,0 q1,2 2,0", "x")[0]
    np.testing.assert_allclose(parabola[:, 1], parabola[:, 0] * (2 - parabola[:, 0]), atol=1e-12)
    np.testing.assert_array_equal(polylines("M1e1-2.5.5.5", "x")[0], [[10, -2.5], [0.5, 0.5]])


def test_voxels_reach_their_vertices_and_come_back(folder, flat):
    """A volume whose voxels are named by place, sampled at the middle of cortex."""
    affine = np.diag([2.0, 2.0, 3.0, 1.0])
    index = np.argwhere(np.ones((30, 9, 2), bool))
    like = make_responses(np.zeros((1, len(index))), stimulus_id=["a"], i=index[:, 0], j=index[:, 1], k=index[:, 2])
    like.attrs |= {"volume_shape": [30, 9, 2], "affine": affine.ravel().tolist()}
    white = [folder / f"white_{s}.gii" for s in ("lh", "rh")]
    pial = [folder / f"pial_{s}.gii" for s in ("lh", "rh")]
    values = np.stack([index[:, 0], index[:, 2]]).astype(float)
    found = to_vertices(values, like=like, white=white, pial=pial)
    x = np.concatenate([flat.points_mm[:108, 0] + 22, flat.points_mm[108:, 0] + 30])
    np.testing.assert_allclose(found[0], x / 2)
    # Depths 0, .25 lie in the first layer; .5 rounds up, .75 and 1 lie in the second.
    np.testing.assert_allclose(found[1], 0.6)
    linear = to_vertices(values, like=like, white=white, pial=pial, how="trilinear", depths=[0.25])
    np.testing.assert_allclose(linear[1], 0.25)
    masks = to_region_masks(flat.regions, shape=(30, 9, 2), affine=affine, white=white, pial=pial)
    made = plant_brain(np.random.default_rng(0).normal(size=(40, 6)), regions=masks, affine=affine, rank=3, rng=0)
    code = (made.responses.region.values == "V1").astype(float)
    back = to_vertices(code, like=made.responses, white=white, pial=pial)
    np.testing.assert_array_equal(back == 1, flat.regions == "V1")
    assert np.isnan(back[flat.regions == ""]).all()


def test_nan_is_left_out_of_the_mean_over_depths(folder):
    like = make_responses([[1.0, 3.0]], stimulus_id=["a"], i=0, j=0, k=[0, 1])
    like.attrs |= {"volume_shape": [1, 1, 2], "affine": np.diag([2.0, 2.0, 3.0, 1.0]).ravel().tolist()}
    kind = {"like": like, "white": [folder / "white_lh.gii"], "pial": [folder / "pial_lh.gii"]}
    assert to_vertices([1.0, 3.0], **kind)[0] == pytest.approx(0.4 * 1 + 0.6 * 3)
    assert to_vertices([1.0, np.nan], **kind)[0] == 1.0
    assert np.isnan(to_vertices([np.nan, np.nan], **kind)).all()


def test_matrices_of_pycortex_are_read(folder):
    like = make_responses([[5.0]], stimulus_id=["a"], i=0, j=0, k=0)
    like.attrs |= {"volume_shape": [1, 1, 1]}
    (folder / "m.xfm").write_text('{"coord": [[1,0,0,-2],[0,1,0,0],[0,0,0.01,0],[0,0,0,1]]}')
    kind = {"like": like, "white": [folder / "white_lh.gii"], "pial": [folder / "pial_lh.gii"]}
    found = to_vertices([5.0], to_voxels=folder / "m.xfm", **kind)
    assert np.flatnonzero(np.isfinite(found)).tolist() == [1]
    (folder / "bad.xfm").write_text('{"other": 1}')
    with pytest.raises(ValueError, match=r"bad.xfm must be JSON with the matrix 'coord'"):
        to_vertices([5.0], to_voxels=folder / "bad.xfm", **kind)
    with pytest.raises(ValueError, match="to_voxels must be a matrix that can be inverted"):
        to_vertices([5.0], to_voxels=np.zeros((4, 4)), **kind)
    with pytest.raises(ValueError, match="to_voxels must be given"):
        to_vertices([5.0], **kind)


def test_maps_of_both_hemispheres_survive_gifti(tmp_path):
    rng = np.random.default_rng(0)
    sides = np.repeat(["L", "R"], [4, 3])
    vertex = np.r_[0, 2, 5, 6, 1, 2, 3]
    like = make_responses(np.zeros((1, 7)), stimulus_id=["a"], coords={
        "hemi": ("neuroid", sides), "vertex": ("neuroid", vertex)})  # fmt: skip
    like.attrs |= {"volume_shape": [8, 1, 1]}
    values = rng.normal(size=(2, 7)).astype(np.float32)
    write_map(values, tmp_path / "{hemi}.score.gii", like=like, name="score", intent="shape")
    for side, file, structure in (("L", "lh", "CortexLeft"), ("R", "rh", "CortexRight")):
        image = nibabel.load(tmp_path / f"{file}.score.gii")
        assert image.meta["AnatomicalStructurePrimary"] == structure
        assert {a.intent for a in image.darrays} == {nibabel.nifti1.intent_codes["NIFTI_INTENT_SHAPE"]}
        back = read_betas(tmp_path / f"{file}.score.gii", trials={"stimulus_id": ["a", "b"]}, nan="drop")
        np.testing.assert_array_equal(back.values, values[:, sides == side])
        np.testing.assert_array_equal(back.vertex, vertex[sides == side])
    with pytest.raises(ValueError, match=r"path must be a name with \{hemi\}"):
        write_map(values, tmp_path / "score.gii", like=like)
    with pytest.raises(ValueError, match="intent must be one of"):
        write_map(values, tmp_path / "{hemi}.gii", like=like, intent="guess")
    with pytest.raises(ValueError, match=r"intent must be for \.gii files only"):
        planted = plant_brain(rng.normal(size=(20, 4)), regions={"V1": 5}, rank=2, rng=0).responses
        write_map(planted[0], tmp_path / "x.nii", like=planted, intent="shape")


def test_whole_maps_are_read(tmp_path):
    rng = np.random.default_rng(0)
    made = plant_brain(rng.normal(size=(20, 4)), regions={"V1": 5}, rank=2, rng=0).responses
    write_map(made[0], tmp_path / "one.nii.gz", like=made)
    values, affine = read_map(tmp_path / "one.nii.gz")
    np.testing.assert_allclose(affine.ravel(), made.attrs["affine"])
    assert np.isfinite(values).sum() == 5
    row = rng.normal(size=7).astype(np.float32)
    nibabel.save(GiftiImage(darrays=[GiftiDataArray(row)]), tmp_path / "curv.gii.gz")
    curved, none = read_map(tmp_path / "curv.gii.gz")
    np.testing.assert_array_equal(curved, row)
    assert none is None


def test_broken_surfaces_and_drawings_are_named(folder):
    points, triangles = sheet()
    (folder / "text.gii").write_text("nothing")
    save(folder / "far.gii", points, triangles + 100)
    save(folder / "nan.gii", points * [np.nan, 1, 1], triangles)
    nibabel.save(GiftiImage(darrays=[GiftiDataArray(np.ones(5, np.float32))]), folder / "map.gii")
    for name, what in (("text", "text.gii must be a readable"), ("far", "far.gii must be of triangles among its 108"),
                       ("nan", "nan.gii must be of finite points"), ("map", "map.gii must be a surface with points"),
                       ("gone", "path must be a file that exists")):  # fmt: skip
        with pytest.raises(ValueError, match=what):
            read_surface(folder / f"{name}.gii")
    with pytest.raises(ValueError, match=r"path must be a .gii"):
        read_surface(folder / "overlays.svg")
    kind = {"left": folder / "flat_lh.gii", "right": folder / "flat_rh.gii.gz"}
    for text, what in ((DRAWING[:100], "readable SVG"),
                       (DRAWING.replace('"440"', '"900"'), "page of the flat maps' shape"),
                       (DRAWING.replace("h 80", "a 80"), "commands M L H V C S Q Z, got a"),
                       (DRAWING.replace("translate(0,80)", "rotate(5)"), r"rotate\(5\)"),
                       (DRAWING.replace('width="440"', ""), "width in pixels, got none"),
                       (DRAWING.replace("80 v", "v"), "1 numbers after h")):  # fmt: skip
        (folder / "bad.svg").write_text(text)
        with pytest.raises(ValueError, match=what):
            read_flat_brain(**kind, outlines=folder / "bad.svg")
    with pytest.raises(ValueError, match=r"layer must be one of .*rois"):
        read_flat_brain(**kind, outlines=folder / "overlays.svg", layer="gyri")
    with pytest.raises(ValueError, match=r"map\.gii must be of 108 vertices"):
        read_flat_brain(**kind, curvature=[folder / "map.gii", folder / "map.gii"])
    like = make_responses([[5.0]], stimulus_id=["a"], i=0, j=0, k=0)
    like.attrs |= {"volume_shape": [1, 1, 1], "affine": np.eye(4).ravel().tolist()}
    white, pial = [folder / "white_lh.gii"], [folder / "pial_lh.gii"]
    with pytest.raises(ValueError, match="white and pial must be as many"):
        to_vertices([5.0], like=like, white=white, pial=[])
    with pytest.raises(ValueError, match="depths must be from 0 to 1"):
        to_vertices([5.0], like=like, white=white, pial=pial, depths=[2])
    with pytest.raises(ValueError, match=r"values must be \(1,\)"):
        to_vertices([5.0, 1.0], like=like, white=white, pial=pial)
    with pytest.raises(ValueError, match="labels must be a name for each of the 108"):
        to_region_masks(["V1"], shape=(2, 2, 2), affine=np.eye(4), white=white, pial=pial)


def picture(ax):
    return np.asarray(ax.get_images()[0].get_array())


def test_a_flat_map_is_the_plane_that_its_values_span(flat):
    """A map linear in x and y is linear at every pixel: barycentric weights."""
    raster = rasterize(flat, 64)
    x, y = flat.points_mm.T
    found = raster.picture(3 * x - y)
    rows, columns = np.nonzero(np.isfinite(found))
    px, py = -22 + (columns + 0.5) * raster.step_mm, (rows + 0.5) * raster.step_mm
    np.testing.assert_allclose(found[rows, columns], 3 * px - py, atol=1e-9)
    assert np.isfinite(found).mean() > 0.99  # the sheets fill the page
    assert rasterize(flat, 64) is raster  # kept


def test_labels_on_the_map_agree_with_the_outlines(flat):
    points, triangles = sheet(177, 65, 0.25)
    fine = FlatBrain(points[:, :2] - [22, 0], triangles, len(points), flat.outlines)
    ax = plot.flat_map(fine.regions, fine, height_px=160)
    shown = picture(ax)[..., :3].sum(axis=2)
    step = 16 / 160
    y, x = (np.indices(shown.shape) + 0.5) * step
    x = x - 22
    for name, at in (("V1", (16, 11)), ("V2", (-16, 5))):
        color = shown[int(at[1] / step), int((at[0] + 22) / step)]
        drawn = np.zeros(shown.shape, bool)
        for line in flat.outlines[name]:
            drawn |= mpl.path.Path(line).contains_points(np.c_[x.ravel(), y.ravel()]).reshape(shown.shape)
        here = np.isclose(shown, color)
        # Vertices lie 0.25 mm apart and regions are 4 to 8 mm wide: borders fall half a cell off.
        assert 2 * (here & drawn).sum() / (here.sum() + drawn.sum()) > 0.95
    texts = [t.get_text() for t in ax.texts]
    assert texts.count("V1") == 2
    assert {"V2", "L"} <= set(texts)
    assert "R" not in texts  # of a flat brain that is all left


def test_what_is_nan_shows_the_folds(flat):
    curved = FlatBrain(flat.points_mm, flat.triangles, flat.n_left, {}, np.sign(flat.points_mm[:, 1] - 8))
    values = np.where(flat.points_mm[:, 0] < 0, 1.0, np.nan)
    shown = picture(plot.flat_map(values, curved, limits=(0, 2), cmap="viridis", height_px=64))
    left, right = shown[:, : shown.shape[1] // 2 - 8], shown[:, shown.shape[1] // 2 + 8 :]
    np.testing.assert_allclose(left[5:-5, 5:, :3] - mpl.colormaps["viridis"](0.5)[:3], 0, atol=0.01)
    assert np.ptp(right[5:-5, 5:-5, :3], axis=2).max() < 1e-9  # grey
    assert right[50, 20, 0] < right[10, 20, 0]  # sulci (positive) are dark


def test_colours_suit_the_numbers(flat):
    n = len(flat.points_mm)
    both = plot.flat_map(np.linspace(-1, 2, n), flat, height_px=32, quantity="weight", unit="a.u.")
    bar = both.get_figure().axes[-1]
    assert bar.get_xlabel() == "weight (a.u.)"
    assert bar.get_xlim()[0] == -bar.get_xlim()[1]
    one = plot.flat_map(np.linspace(0.1, 2, n), flat, height_px=32)
    assert one.get_figure().axes[-1].get_xlim()[0] >= 0
    many = np.array([f"r{k % 12}" for k in range(n)])
    legend = plot.flat_map(many, flat, height_px=32).get_legend()
    assert len({p.get_facecolor() for p in legend.get_patches()}) == 12


def test_focus_shows_those_regions(flat):
    ax = plot.flat_map(np.ones(len(flat.points_mm)), flat, focus=["V2"], regions=["V2"], height_px=64)
    assert ax.get_xlim()[0] == pytest.approx(-20 - 0.12 * 8)
    assert ax.get_ylim()[1] == pytest.approx(6 + 0.12 * 8)
    assert "V1" not in [t.get_text() for t in ax.texts]


def test_flat_maps_refuse(flat):
    n = len(flat.points_mm)
    for change, what in (({"values": np.ones(3)}, r"values must be \(216,\)"),
                         ({"values": np.full(n, np.nan)}, "a number somewhere"),
                         ({"values": np.full(n, "")}, "a name somewhere"),
                         ({"regions": ["V9"]}, "among the outlines"), ({"focus": ["V9"]}, "among the outlines"),
                         ({"limits": (1, 0)}, "limits must be two numbers"),
                         ({"values": np.full(n, "a"), "colors": {}}, "colors must be given")):  # fmt: skip
        kind = {"values": np.ones(n)} | change
        with pytest.raises(ValueError, match=what):
            plot.flat_map(kind.pop("values"), flat, height_px=32, **kind)


def at(ax, x, y):
    image = ax.get_images()[0]
    left, right, bottom, top = image.get_extent()
    shown = np.ma.filled(image.get_array(), np.nan)
    return shown[int((y - bottom) / (top - bottom) * shown.shape[0]), int((x - left) / (right - left) * shown.shape[1])]


@pytest.mark.parametrize("turn_deg", [0, 25])
def test_glass_brains_show_a_voxel_at_its_millimetres(turn_deg):
    """On a straight and on an oblique grid whose first axis runs to the left, as scanners write it."""
    c, s = np.cos(np.deg2rad(turn_deg)), np.sin(np.deg2rad(turn_deg))
    affine = np.array([[-2.0, 0, 0, 20], [0, 2 * c, -2 * s, -30], [0, 2 * s, 2 * c, -10], [0, 0, 0, 1]])
    index = np.array([[2, 5, 7], [18, 12, 3], [2, 5, 8]])
    like = make_responses(np.zeros((1, 3)), stimulus_id=["a"], i=index[:, 0], j=index[:, 1], k=index[:, 2])
    like.attrs |= {"volume_shape": [20, 16, 12], "affine": affine.ravel().tolist()}
    place = index @ affine[:3, :3].T + affine[:3, 3]
    made = plot.glass_brain([1.0, 2.0, np.nan], like=like, anatomy=(np.ones((20, 16, 12)), affine), quantity="r")
    sagittal, coronal, axial, bar = made.axes
    for (x, y, z), value in zip(place[:2], (1.0, 2.0), strict=True):
        assert at(sagittal, y, z) == value
        assert at(coronal, x, z) == value
        assert at(axial, x, y) == value
        assert x * {1.0: 1, 2.0: -1}[value] > 0  # the first voxel is on the right, the second on the left
    assert np.isfinite(np.ma.filled(axial.get_images()[0].get_array(), np.nan)).sum() <= 4
    assert coronal.get_xlim()[0] < coronal.get_xlim()[1]  # x grows to the right: left is left
    assert [t.get_text() for t in axial.texts] == ["L", "R"]
    assert (sagittal.get_xlabel(), sagittal.get_ylabel()) == ("y (mm)", "z (mm)")
    assert bar.get_ylabel() == "r"


def test_the_strongest_value_wins_on_each_line_of_sight():
    values = np.random.default_rng(0).normal(size=(5, 6, 7))
    index = np.argwhere(np.ones(values.shape, bool))
    like = make_responses(np.zeros((1, values.size)), stimulus_id=["a"], i=index[:, 0], j=index[:, 1], k=index[:, 2])
    like.attrs |= {"volume_shape": [5, 6, 7], "affine": np.diag([3.0, 3.0, 3.0, 1.0]).ravel().tolist()}
    for signed, numbers in ((True, values), (False, np.abs(values))):
        made = plot.glass_brain(numbers.ravel(), like=like)
        for ax, axis in zip(made.axes, range(3), strict=False):
            best = np.take_along_axis(numbers, np.expand_dims(abs(numbers).argmax(axis), axis), axis).squeeze(axis)
            shown = np.ma.filled(ax.get_images()[0].get_array(), np.nan)
            np.testing.assert_array_equal(shown[np.isfinite(shown)], best.T.ravel())
        low = made.axes[-1].get_ylim()[0]
        assert (low < 0) == signed


def test_glass_brains_refuse():
    like = make_responses([[1.0, 2.0]], stimulus_id=["a"], i=[0, 1], j=0, k=0)
    with pytest.raises(ValueError, match="like must be with i, j, k and the attributes"):
        plot.glass_brain([1.0, 2.0], like=like)
    like.attrs |= {"volume_shape": [2, 1, 1], "affine": np.eye(4).ravel().tolist()}
    with pytest.raises(ValueError, match=r"values must be \(2,\)"):
        plot.glass_brain([1.0], like=like)
    with pytest.raises(ValueError, match="a number at one voxel"):
        plot.glass_brain([np.nan, np.nan], like=like)
    with pytest.raises(ValueError, match=r"anatomy must be \(\(i, j, k\)"):
        plot.glass_brain([1.0, 2.0], like=like, anatomy=(np.ones(3), np.eye(4)))
