"""Surfaces against closed forms, SciPy, matplotlib, nilearn, and a real subject's."""

import gzip
import json
import re

import matplotlib.path
import matplotlib.tri
import nibabel
import numpy as np
import pytest
from nibabel.gifti import GiftiDataArray, GiftiImage
from scipy.ndimage import map_coordinates
from scipy.spatial import ConvexHull, cKDTree

from neuroperc import plot
from neuroperc.data import make_responses
from neuroperc.decoding import FlatBrain, Surface, plant_brain, read_flat_brain, read_map, to_region_masks, to_vertices
from neuroperc.decoding.volumes._svg import polylines
from neuroperc.decoding.volumes.surfaces import inside, mean_curvature
from neuroperc.plot._raster import rasterize


def ball(n=3000, radius_mm=20.0):
    k = np.arange(n) + 0.5
    z, turn = 1 - 2 * k / n, np.pi * (1 + np.sqrt(5)) * k
    points = radius_mm * np.stack([np.sqrt(1 - z**2) * np.cos(turn), np.sqrt(1 - z**2) * np.sin(turn), z], axis=1)
    faces = ConvexHull(points).simplices
    a, b, c = (points[faces[:, m]] for m in range(3))
    outward = (np.cross(b - a, c - a) * a).sum(axis=1) > 0
    return Surface(points, np.where(outward[:, None], faces, faces[:, ::-1]))


def test_a_ball_bends_by_one_over_its_radius():
    for radius_mm in (10.0, 20.0):
        np.testing.assert_allclose(mean_curvature(ball(radius_mm=radius_mm)), -1 / radius_mm, rtol=0.02)
    turned = ball()
    np.testing.assert_allclose(mean_curvature(Surface(turned.points_mm, turned.triangles[:, ::-1])), 0.05, rtol=0.02)


def test_points_inside_are_matplotlibs():
    rng = np.random.default_rng(0)
    turn = np.sort(rng.uniform(0, 2 * np.pi, 40))
    line = rng.uniform(2, 5, 40)[:, None] * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    points = rng.uniform(-5, 5, (2000, 2))
    np.testing.assert_array_equal(inside(points, line), matplotlib.path.Path(line).contains_points(points))


def test_pixels_are_matplotlibs_linear_interpolation():
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 10, (300, 2))
    mesh = matplotlib.tri.Triangulation(*points.T)
    values = rng.normal(size=300)
    raster = rasterize(FlatBrain(points, mesh.triangles.astype(int), 300), 200)
    rows, columns = np.indices(raster.shape)
    x = raster.low_mm[0] + (columns + 0.5) * raster.step_mm
    y = raster.low_mm[1] + (rows + 0.5) * raster.step_mm
    theirs = np.ma.filled(matplotlib.tri.LinearTriInterpolator(mesh, values)(x, y), np.nan)
    ours = raster.picture(values)
    both = np.isfinite(ours) & np.isfinite(theirs)
    assert (np.isfinite(ours) != np.isfinite(theirs)).mean() < 1e-3
    np.testing.assert_allclose(ours[both], theirs[both], atol=1e-9)


def save(path, surface):
    arrays = [GiftiDataArray(surface.points_mm.astype(np.float32), intent="NIFTI_INTENT_POINTSET"),
              GiftiDataArray(surface.triangles.astype(np.int32), intent="NIFTI_INTENT_TRIANGLE")]  # fmt: skip
    nibabel.save(GiftiImage(darrays=arrays), path)


@pytest.fixture
def cortex(tmp_path):
    """Two balls in a volume of smooth numbers, on an oblique grid."""
    white, pial = ball(600, 18.0), ball(600, 21.0)
    save(tmp_path / "white.gii", white)
    save(tmp_path / "pial.gii", pial)
    affine = np.array([[-2.2, 0.1, 0, 30], [0.1, 2.0, -0.4, -28], [0, 0.4, 2.0, -36], [0, 0, 0, 1]])
    values = np.random.default_rng(0).normal(size=(28, 30, 34)).astype(np.float32)
    index = np.argwhere(np.ones(values.shape, bool))
    like = make_responses(values.reshape(1, -1), stimulus_id=["a"], i=index[:, 0], j=index[:, 1], k=index[:, 2])
    like.attrs |= {"volume_shape": list(values.shape), "affine": affine.ravel().tolist()}
    kind = {"like": like, "white": [tmp_path / "white.gii"], "pial": [tmp_path / "pial.gii"]}
    return values, affine, kind, (white, pial)


@pytest.mark.parametrize(("how", "order"), [("nearest", 0), ("trilinear", 1)])
def test_sampling_is_scipys(cortex, how, order):
    values, affine, kind, (white, pial) = cortex
    depths = (0.1, 0.5, 0.9)
    found = to_vertices(values.ravel(), how=how, depths=depths, **kind)
    expected = []
    for d in depths:
        points = white.points_mm.astype(np.float32) * (1 - d) + pial.points_mm.astype(np.float32) * d
        expected.append(
            map_coordinates(values, ((points - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T).T, order=order)
        )
    np.testing.assert_allclose(found, np.mean(expected, axis=0), atol=2e-5)


def test_sampling_is_nilearns(cortex):
    from nilearn.surface import vol_to_surf

    values, affine, kind, (white, pial) = cortex
    theirs = vol_to_surf(
        nibabel.Nifti1Image(values, affine), [pial.points_mm, pial.triangles],
        inner_mesh=[white.points_mm, white.triangles], kind="depth", depth=[0.25, 0.5, 0.75], interpolation="linear",
    )  # fmt: skip
    found = to_vertices(values.ravel(), how="trilinear", depths=[0.25, 0.5, 0.75], **kind)
    np.testing.assert_allclose(found, theirs, atol=1e-4)


def real(folder):
    names = {k: [folder / f"{k}_{s}.gii.gz" for s in ("lh", "rh")] for k in ("flat", "wm", "pia")}
    flat = read_flat_brain(*names["flat"], outlines=folder / "overlays.svg.gz", curvature=names["wm"])
    return flat, names


@pytest.mark.slow
def test_a_real_subjects_flat_map(data_dir, tmp_path):
    """Pycortex's S1: the drawing fits the surfaces, and labels on the map agree with the outlines."""
    folder = data_dir / "fmri" / "pycortex_S1"
    flat, names = real(folder)
    assert (len(flat.points_mm), flat.n_left) == (152893 + 151487, 152893)
    # The drawing's clip path is the border of the flat map: its points are vertices, to rounding.
    text = gzip.decompress((folder / "overlays.svg.gz").read_bytes()).decode()
    clip = np.concatenate(polylines(re.search(r'id="clippath" d="([^"]*)"', text)[1], "clip"))
    low, high = flat.points_mm.min(axis=0), flat.points_mm.max(axis=0)
    clip = np.array([low[0], high[1]]) + clip / [1960.49635354, 1024] * (high - low) * [1, -1]
    assert cKDTree(flat.points_mm).query(clip)[0].max() < 1e-3
    # Labels of pixels against outlines filled by matplotlib.
    regions = flat.regions
    raster = rasterize(flat, 1024)
    shown = raster.fill(regions[raster.nearest], outside="")
    rows, columns = np.unravel_index(raster.pixels, raster.shape)
    places = raster.low_mm + (np.stack([columns, rows], axis=1) + 0.5) * raster.step_mm
    for name in ("V1", "V2", "V3", "PPA", "FFA", "EBA", "RSC", "IPS"):
        filled = np.zeros(len(places), bool)
        for line in flat.outlines[name]:
            filled |= matplotlib.path.Path(line).contains_points(places)
        here = shown.ravel()[raster.pixels] == name
        assert 2 * (here & filled).sum() / (here.sum() + filled.sum()) > 0.95, name
    # Sulci are concave: more of cortex is buried than open, and both signs are there.
    assert 0.3 < np.mean(flat.curvature > 0) < 0.7
    # The shipped matrices agree with the volume's own affine.
    volume, affine = read_map(folder / "retinotopy_reference.nii.gz")
    matrices = json.loads((folder / "retinotopy_matrices.xfm").read_text())
    np.testing.assert_allclose(np.linalg.inv(affine) @ matrices["magnet"], matrices["coord"], atol=1e-4)
    # Regions to voxels to a planted brain to vertices: back inside the outlines.
    kind = {"white": names["wm"], "pial": names["pia"], "to_voxels": folder / "retinotopy_matrices.xfm"}
    masks = to_region_masks(regions, shape=volume.shape, affine=affine, **kind)
    chosen = {n: masks[n] for n in ("V1", "V2", "V3", "EBA", "IPS")}
    brain = plant_brain(np.random.default_rng(0).normal(size=(60, 30)), regions=chosen, affine=affine, rank=8,
                        n_repeats=1, rng=0)  # fmt: skip
    scanned = np.isfinite(to_vertices(volume.ravel(), like=whole(volume, affine), **kind))
    for name, least in (("V1", 0.85), ("V2", 0.7), ("V3", 0.7), ("EBA", 0.8), ("IPS", 0.8)):
        mark = (brain.responses.region.values == name).astype(float)
        back = np.nan_to_num(to_vertices(mark, like=brain.responses, **kind)) > 0.5
        drawn = (regions == name) & scanned
        assert 2 * (back & drawn).sum() / (back.sum() + drawn.sum()) > least, name
    ax = plot.flat_map(to_vertices(brain.noise_ceiling(3), like=brain.responses, **kind), flat, quantity="ceiling")
    assert len(plot.png(ax)) > 50_000


def whole(volume, affine):
    index = np.argwhere(np.ones(volume.shape, bool))
    made = make_responses(np.zeros((1, len(index)), np.float32), stimulus_id=["a"], i=index[:, 0], j=index[:, 1],
                          k=index[:, 2])  # fmt: skip
    made.attrs |= {"volume_shape": list(volume.shape), "affine": affine.ravel().tolist()}
    return made
