"""The Natural Scenes Dataset's layout on a miniature tree: two subjects, grid (9, 11, 8), three sessions of twelve."""

import h5py
import nibabel
import numpy as np
import pytest
import scipy.io

from neuroperc.data import make_responses
from neuroperc.decoding import (
    nsd_trials,
    read_nsd_betas,
    read_nsd_images,
    read_nsd_map,
    read_nsd_stimuli,
    write_nsd,
)

GRID, N, SESSIONS = (9, 11, 8), 12, 3
AFFINE = np.diag([1.8, 1.8, 1.8, 1.0])
VERSION = "betas_fithrf_GLMdenoise_RR"
# Ranks 1 and 2 are shared; each of the 10 ranks is shown three or four times.
ORDER = np.random.default_rng(0).permutation(np.r_[np.repeat(np.arange(1, 9), 4), 9, 9, 10, 10])
STIMULI = ",cocoId,cocoSplit,cropBox,loss,nsdId,shared1000"
IMAGES = np.array([[3, 8, 1, 2, 4, 5, 6, 7, 9, 10], [3, 8, 10, 9, 7, 6, 5, 4, 2, 1]])


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Written without the package: session 1 of subject 1 as NIfTI, 2 as HDF5, 3 as NIfTI with its own slope."""
    root = tmp_path_factory.mktemp("nsd")
    rng = np.random.default_rng(1)
    design = root / "nsddata/experiments/nsd"
    design.mkdir(parents=True)
    made = {"masterordering": ORDER[None], "subjectim": IMAGES, "sharedix": IMAGES[:1, :2]}
    scipy.io.savemat(design / "nsd_expdesign.mat", made)
    stored = rng.integers(-3000, 3000, (SESSIONS, *GRID, N)).astype(np.int16)
    betas = root / f"nsddata_betas/ppdata/subj01/func1pt8mm/{VERSION}"
    betas.mkdir(parents=True)
    nibabel.save(nibabel.Nifti1Image(stored[0], AFFINE), betas / "betas_session01.nii.gz")
    with h5py.File(betas / "betas_session02.hdf5", "w") as file:
        file["betas"] = stored[1].T
    sloped = nibabel.Nifti1Image(stored[2], AFFINE)
    sloped.header.set_slope_inter(1 / 300, 0)
    nibabel.save(sloped, betas / "betas_session03.nii.gz")
    ncsnr = rng.random(GRID).astype(np.float32)
    ncsnr[:2] = np.nan
    nibabel.save(nibabel.Nifti1Image(ncsnr, AFFINE), betas / "ncsnr.nii.gz")
    roi = root / "nsddata/ppdata/subj01/func1pt8mm/roi"
    roi.mkdir(parents=True)
    general = np.full(GRID, -1, np.float32)
    general[1:5, 2:6, 3:5], general[5] = 1, 0
    nibabel.save(nibabel.Nifti1Image(general, AFFINE), roi / "nsdgeneral.nii.gz")
    areas = np.where(general == 1, 1 + np.arange(GRID[0])[:, None, None] % 7, -1).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(areas, AFFINE), roi / "prf-visualrois.nii.gz")
    surface = root / f"nsddata_betas/ppdata/subj01/fsaverage/{VERSION}"
    surface.mkdir(parents=True)
    for side, offset in (("lh", 0), ("rh", 100)):
        values = offset + np.arange(5 * N, dtype=np.float32).reshape(5, 1, 1, N)
        nibabel.save(nibabel.MGHImage(values, np.eye(4)), surface / f"{side}.betas_session01.mgh")
    pictures = root / "nsddata_stimuli/stimuli/nsd"
    pictures.mkdir(parents=True)
    with h5py.File(pictures / "nsd_stimuli.hdf5", "w") as file:
        file["imgBrick"] = np.arange(10, dtype=np.uint8)[:, None, None, None] * np.ones((1, 16, 16, 3), np.uint8)
    lines = [f'{n},{1000 + n},train2017,"(0, 0, {n / 20}, 0.125)",0.0,{n},{n + 1 in (3, 8)}' for n in range(10)]
    (design / "nsd_stim_info_merged.csv").write_text("\n".join([STIMULI, *lines[::-1]]) + "\n")
    return root, stored, general, areas, ncsnr


def test_the_tree_is_small(tree):
    assert sum(p.stat().st_size for p in tree[0].rglob("*") if p.is_file()) < 1_000_000


def test_trials_count_from_one(tree):
    table = nsd_trials(tree[0], 2, trials_per_session=N)
    assert len(table) == SESSIONS * N
    t = 17
    assert table.image_73k[t] == IMAGES[1, ORDER[t] - 1]
    assert table.stimulus_id[t] == f"nsd{IMAGES[1, ORDER[t] - 1]:05d}"
    assert table.shared.tolist() == (ORDER <= 2).tolist()
    assert (table.session[t], table.trial[t]) == (2, 6)
    counts = table.image_73k.value_counts().sort_index()
    assert (table.groupby("image_73k").repetition.max() + 1).tolist() == counts.tolist()
    third = nsd_trials(tree[0], 2, sessions=[3], trials_per_session=N)
    assert third.repetition.tolist() == table.repetition[24:].tolist()


def test_betas_of_every_format_agree(tree):
    root, stored, general, _, _ = tree
    found = read_nsd_betas(root, 1, trials_per_session=N)
    inside = general > 0
    wanted = np.concatenate([s[inside].T for s in stored]) / 300
    np.testing.assert_allclose(found.values, wanted, atol=1e-5)
    assert found.attrs["units"] == "% signal change"
    assert found.session.values.tolist() == [1] * N + [2] * N + [3] * N
    np.testing.assert_array_equal(np.stack([found.i, found.j, found.k], 1), np.argwhere(inside))
    second = read_nsd_betas(root, 1, sessions=[2], trials_per_session=N)
    np.testing.assert_allclose(second.values, stored[1][inside].T / 300, atol=1e-5)


def test_regions_and_ncsnr_at_the_voxels(tree):
    root, _, general, areas, ncsnr = tree
    found = read_nsd_betas(root, 1, sessions=[1], trials_per_session=N)
    np.testing.assert_array_equal(read_nsd_map(root, 1, "prf-visualrois", like=found), areas[general > 0])
    read = read_nsd_map(root, 1, "ncsnr", like=found)
    np.testing.assert_array_equal(read, ncsnr[general > 0])
    assert np.isnan(read).any()
    everything = read_nsd_betas(root, 1, sessions=[1], region=None, trials_per_session=N)
    labels = read_nsd_map(root, 1, "nsdgeneral", like=everything)
    assert sorted(set(labels)) == [-1, 0, 1]
    with pytest.raises(ValueError, match=r"nsdgeneral, prf-visualrois\), got V1"):
        read_nsd_betas(root, 1, region="V1", trials_per_session=N)


def test_surface(tree):
    found = read_nsd_betas(tree[0], 1, space="fsaverage", region=None, trials_per_session=N)
    assert found.hemi.values.tolist() == ["L"] * 5 + ["R"] * 5
    assert found.values[3].tolist() == [3 + N * v for v in range(5)] + [103 + N * v for v in range(5)]
    assert len(set(found.neuroid_id.values)) == 10


def test_pictures_by_their_number(tree):
    assert read_nsd_images(tree[0], [10, 1, 10])[:, 0, 0, 0].tolist() == [9, 0, 9]
    with pytest.raises(ValueError, match="1 to 10"):
        read_nsd_images(tree[0], [0, 1])


def test_files_of_pictures_that_are_broken_are_named(tmp_path):
    folder = tmp_path / "nsddata_stimuli/stimuli/nsd"
    folder.mkdir(parents=True)
    with h5py.File(folder / "nsd_stimuli.hdf5", "w") as file:
        file["betas"] = np.zeros((2, 4, 4, 3), np.uint8)
    with pytest.raises(ValueError, match=r"nsd_stimuli\.hdf5 must be an HDF5 file with the data set imgBrick"):
        read_nsd_images(tmp_path, [1])
    whole = (folder / "nsd_stimuli.hdf5").read_bytes()
    (folder / "nsd_stimuli.hdf5").write_bytes(whole[:1000])
    with pytest.raises(ValueError, match=r"nsd_stimuli\.hdf5 must be a readable file .*truncated file"):
        read_nsd_images(tmp_path, [1])


def test_where_pictures_come_from(tree):
    """Numbers of the table count from 0, those of the design from 1."""
    found = read_nsd_stimuli(tree[0])
    assert found.image_73k.tolist() == list(range(1, 11))
    assert found.cocoId.tolist() == [1000 + n for n in range(10)]
    assert found.columns.tolist() == ["stimulus_id", "image_73k", "shared", "cocoId", "cocoSplit", "loss", "crop_top",
                                      "crop_bottom", "crop_left", "crop_right"]  # fmt: skip
    assert found.crop_left.tolist() == [n / 20 for n in range(10)]
    trials = nsd_trials(tree[0], 1, trials_per_session=N)
    more = found.set_index("stimulus_id")[["cocoId", "shared"]].rename(columns={"shared": "for_all"})
    joined = trials.join(more, on="stimulus_id")
    assert joined.cocoId.tolist() == (999 + trials.image_73k).tolist()
    assert joined.for_all.tolist() == joined.shared.tolist()


@pytest.mark.parametrize(
    ("lines", "what"),
    [
        ([",cocoId", "0,1"], r"with the columns nsdId"),
        ([",nsdId,shared1000", "0,0,maybe"], r"with the columns nsdId"),
        ([",nsdId,shared1000", "0,3,True", "1,3,False"], r"every picture once, .* got number 3"),
        (
            [",nsdId,shared1000,cropBox", '0,0,True,"(0, 0, 1.5, 0)"'],
            r"a cropBox of four shares .* 1\.5, 0\)' in row 0",
        ),
        ([",nsdId,shared1000,cropBox", "0,0,True,(0)"], "a cropBox of four shares"),
    ],
)
def test_tables_of_pictures_that_make_no_sense(tmp_path, lines, what):
    with pytest.raises(ValueError, match=r"nsd_stim_info_merged\.csv"):
        read_nsd_stimuli(tmp_path)
    folder = tmp_path / "nsddata/experiments/nsd"
    folder.mkdir(parents=True)
    (folder / "nsd_stim_info_merged.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(ValueError, match=r"nsd_stim_info_merged\.csv must be .*" + what):
        read_nsd_stimuli(tmp_path)


def test_what_is_missing_or_contradicts_is_named(tree, tmp_path):
    root = tree[0]
    with pytest.raises(ValueError, match=r"nsd_expdesign\.mat"):
        nsd_trials(tmp_path, 1)
    with pytest.raises(ValueError, match=r"got \[4\]"):
        read_nsd_betas(root, 1, sessions=[4], trials_per_session=N)
    with pytest.raises(ValueError, match=r"betas_session01\.nii\.gz must be of 10 trials, got 12"):
        read_nsd_betas(root, 1, sessions=[1], trials_per_session=10)
    with pytest.raises(ValueError, match=r"sessions must be different ones, got \[1, 1\]"):
        read_nsd_betas(root, 1, sessions=[1, 1], trials_per_session=N)
    with pytest.raises(ValueError, match=r"trials_per_session must be at most the 36 trials .* got 750"):
        read_nsd_betas(root, 1)
    with pytest.raises(ValueError, match="subj02"):
        read_nsd_betas(root, 2, trials_per_session=N)
    with pytest.raises(ValueError, match="1 to 2"):
        nsd_trials(root, 3)
    design = tmp_path / "nsddata/experiments/nsd"
    design.mkdir(parents=True)
    made = {"masterordering": ORDER[None] - 1, "subjectim": IMAGES, "sharedix": IMAGES[:1, :2]}
    scipy.io.savemat(design / "nsd_expdesign.mat", made)
    with pytest.raises(ValueError, match="numbered from 1"):
        nsd_trials(tmp_path, 1, trials_per_session=N)
    made["masterordering"], made["sharedix"] = ORDER[None], np.array([[9, 9]])
    scipy.io.savemat(design / "nsd_expdesign.mat", made)
    with pytest.raises(ValueError, match="shared pictures come first"):
        nsd_trials(tmp_path, 1, trials_per_session=N)
    (design / "nsd_expdesign.mat").write_text("half a file")
    with pytest.raises(ValueError, match=r"nsd_expdesign\.mat must be a readable MATLAB file"):
        nsd_trials(tmp_path, 1, trials_per_session=N)


def test_half_a_download_is_no_session(tmp_path):
    write_nsd(tmp_path, {1: simulated()}, masterordering=ORDER, subjectim=IMAGES, n_shared=2, trials_per_session=N)
    folder = tmp_path / f"nsddata_betas/ppdata/subj01/func1pt8mm/{VERSION}"
    for name in ("betas_session09.nii.gz.part", "._betas_session08.nii.gz", "betas_session07.nii.gz.5a8D2bE1"):
        (folder / name).write_text("half")
    assert read_nsd_betas(tmp_path, 1, trials_per_session=N).shape[0] == SESSIONS * N


def test_other_scalings_and_other_responses_are_refused(tmp_path, tree):
    write_nsd(tmp_path, {1: simulated()}, masterordering=ORDER, subjectim=IMAGES, n_shared=2, trials_per_session=N)
    file = tmp_path / f"nsddata_betas/ppdata/subj01/func1pt8mm/{VERSION}/betas_session01.nii.gz"
    image = nibabel.load(file)
    wrong = nibabel.Nifti1Image(np.asarray(image.dataobj).astype(np.int16), image.affine)
    wrong.header.set_slope_inter(0.1, 0)
    nibabel.save(wrong, file)
    with pytest.raises(ValueError, match=r"betas_session01\.nii\.gz must be scaled by 1/300 or not at all"):
        read_nsd_betas(tmp_path, 1, trials_per_session=N)
    stored = np.asarray(image.dataobj)
    for wrong in (stored.astype(np.float32), stored * np.float32(0.97)):
        nibabel.save(nibabel.Nifti1Image(wrong, image.affine), file)
        with pytest.raises(ValueError, match=r"betas_session01\.nii\.gz must be in percent .* 300 times too large"):
            read_nsd_betas(tmp_path, 1, trials_per_session=N)
    right = (stored / 300).astype(np.float32)
    right[..., 0][simulated_inside()] *= np.where(np.arange(simulated_inside().sum()) == 5, 900, 1)  # one wild voxel
    nibabel.save(nibabel.Nifti1Image(right, image.affine), file)
    assert read_nsd_betas(tmp_path, 1, trials_per_session=N).shape[0] == 3 * N
    behav = tmp_path / "nsddata/ppdata/subj01/behav"
    behav.mkdir()
    (behav / "responses.tsv").write_text("SESSION\t73KID\n" + "1\t5\n" * N)
    with pytest.raises(ValueError, match=r"responses\.tsv must be in agreement"):
        nsd_trials(tmp_path, 1, trials_per_session=N)


def simulated_inside():
    return np.random.default_rng(3).random(GRID) > 0.8


def simulated(scale=2.0):
    rng = np.random.default_rng(3)
    index = np.argwhere(rng.random(GRID) > 0.8)
    values = np.clip(scale * rng.normal(size=(SESSIONS * N, len(index))), -50 * scale, 50 * scale)
    names = [f"nsd{IMAGES[0, r - 1]:05d}" for r in ORDER]
    made = make_responses(values.astype(np.float32), stimulus_id=names, i=index[:, 0], j=index[:, 1], k=index[:, 2])
    made.attrs |= {"volume_shape": list(GRID), "affine": AFFINE.ravel().tolist()}
    return made


def test_sessions_of_an_earlier_writing_are_neither_mixed_in_nor_read_instead(tmp_path):
    study = {"subjectim": IMAGES, "n_shared": 2, "trials_per_session": N}
    betas = simulated()
    write_nsd(tmp_path, {1: betas}, masterordering=ORDER, **study)
    with pytest.raises(ValueError, match=r"root must be without other betas in .*betas_session01\.nii\.gz"):
        write_nsd(tmp_path, {1: betas * 0.5}, masterordering=ORDER, format="hdf5", **study)
    with pytest.raises(ValueError, match=r"root must be without other betas in .*betas_session02\.nii\.gz"):
        write_nsd(tmp_path, {1: betas[:N]}, masterordering=ORDER[:N], **study)
    write_nsd(tmp_path, {1: betas * 0.5}, masterordering=ORDER, **study)
    back = read_nsd_betas(tmp_path, 1, trials_per_session=N)
    np.testing.assert_allclose(back.values, betas.values * 0.5, atol=0.5 / 300 + 1e-6)
    with pytest.raises(ValueError, match="n_shared must be at most the 10 ranks of subjectim, got 11"):
        write_nsd(tmp_path, {1: betas}, masterordering=ORDER, **study | {"n_shared": 11})
    with pytest.raises(ValueError, match="betas must be of one subject or more"):
        write_nsd(tmp_path, {}, masterordering=ORDER, **study)


@pytest.mark.parametrize("form", ["nii.gz", "hdf5"])
def test_written_trees_read_back(tmp_path, form):
    betas = simulated()
    n = betas.sizes["neuroid"]
    maps = {1: {"ncsnr": np.linspace(0, 1, n), "streams": np.arange(n) % 6}}
    images = np.random.default_rng(0).integers(0, 255, (10, 16, 16, 3)).astype(np.uint8)
    write_nsd(tmp_path, {1: betas}, masterordering=ORDER, subjectim=IMAGES, n_shared=2, trials_per_session=N, maps=maps,
              images=images, format=form)  # fmt: skip
    back = read_nsd_betas(tmp_path, 1, trials_per_session=N)
    np.testing.assert_allclose(back.values, betas.values, atol=0.5 / 300 + 1e-6)
    assert back.stimulus_id.values.tolist() == betas.stimulus_id.values.tolist()
    np.testing.assert_array_equal(back.j, betas.j)
    np.testing.assert_allclose(read_nsd_map(tmp_path, 1, "ncsnr", like=back), maps[1]["ncsnr"], rtol=1e-6)
    np.testing.assert_array_equal(read_nsd_map(tmp_path, 1, "streams", like=back), np.arange(n) % 6)
    np.testing.assert_array_equal(read_nsd_images(tmp_path, [4, 2]), images[[3, 1]])
    written = read_nsd_stimuli(tmp_path)
    assert written.image_73k[written.shared].tolist() == [3, 8]
    assert len(written) == 10
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def second_subject(scale=1.0):
    made = simulated().copy(deep=True)
    made.values *= scale
    return made.assign_coords(stimulus_id=("presentation", [f"nsd{IMAGES[1, r - 1]:05d}" for r in ORDER]))


def with_nan():
    made = simulated()
    made[20, 7] = np.nan
    return made


@pytest.mark.parametrize(
    ("betas", "change", "what"),
    [
        (lambda: {1: simulated()[:30]}, {}, "whole sessions of 12"),
        (lambda: {1: simulated()[::-1]}, {}, "in the order of the design"),
        (lambda: {1: simulated(scale=80.0)}, {}, r"within ±109\.2 %"),
        (lambda: {1: simulated(), 2: second_subject(100.0)}, {}, r"subject 2 must be within ±109\.2 %"),
        (lambda: {1: simulated(), 3: simulated()}, {}, "subject must be 1 to 2"),
        (lambda: {1: with_nan()}, {}, "betas of subject 1 must be finite, got 1 NaN"),
        (lambda: {1: simulated().drop_attrs()}, {}, "with the attribute volume_shape"),
        (lambda: {1: simulated().assign_coords(i=simulated().i + 5)}, {}, r"inside the grid \(9, 11, 8\)"),
        (lambda: {1: simulated()}, {"n_shared": 3}, "alike for all"),
        (lambda: {1: simulated()}, {"masterordering": ORDER - 1}, "numbered from 1"),
        (lambda: {1: simulated()}, {"subjectim": IMAGES[0]}, r"subjectim must be \(subject, rank\)"),
        (lambda: {1: simulated()}, {"images": np.zeros((10, 4, 4, 3))}, r"images must be .* uint8, got float64"),
        (lambda: {1: simulated()}, {"images": np.zeros((3, 4, 4, 3), np.uint8)}, "at least 10, as subjectim asks"),
        (lambda: {1: simulated()}, {"maps": {1: {"ncsnr": np.ones(3)}}}, "ncsnr in maps of subject 1 must be"),
        (lambda: {1: simulated()}, {"maps": {2: {}}}, r"maps must be of subjects among \[1\]"),
        (lambda: {1: simulated()}, {"maps": {1: {"a/b": np.ones(3)}}}, "named as files"),
        (lambda: {1: simulated()}, {"format": "mgh"}, "format must be one of"),
    ],
)
def test_writing_refuses_what_would_not_read_back_and_leaves_nothing(tmp_path, betas, change, what):
    kind = {"masterordering": ORDER, "subjectim": IMAGES, "n_shared": 2, "trials_per_session": N}
    with pytest.raises(ValueError, match=what):
        write_nsd(tmp_path, betas(), **(kind | change))
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("neuroperc.decoding.volumes.nsd_writing._write_maps", full)
    with pytest.raises(OSError, match="No space"):
        write_nsd(tmp_path, {1: simulated()}, masterordering=ORDER, subjectim=IMAGES, n_shared=2, trials_per_session=N)
    assert list(tmp_path.iterdir()) == []
