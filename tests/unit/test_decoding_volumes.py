"""Volumes in and out: what is read, and which input is refused by name."""

import gzip

import h5py
import nibabel
import numpy as np
import pandas as pd
import pytest

from neuroperc.data import make_responses
from neuroperc.decoding import (
    clean_bold,
    label_voxels,
    read_betas,
    read_bold,
    read_events,
    read_map,
    region_table,
    resample_volume,
    write_map,
)

GRID, AFFINE = (4, 5, 3), np.array([[-2.0, 0, 0, 30], [0, 2, 0, -20], [0, 0, 2.5, 5], [0, 0, 0, 1]])
TRIALS = pd.DataFrame({"stimulus_id": ["a", "b", "a"], "session": 1, "trial": [1, 2, 3]})


@pytest.fixture
def stored():
    return np.random.default_rng(0).integers(-900, 900, (*GRID, 3)).astype(np.int16)


@pytest.fixture
def mask():
    return np.random.default_rng(1).random(GRID) > 0.6


def save(array, path, affine=AFFINE, slope=None):
    image = nibabel.Nifti1Image(array, affine)
    if slope is not None:
        image.header.set_slope_inter(slope, 0)
    nibabel.save(image, path)
    return path


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".img"])
def test_voxels_come_in_c_order_with_their_place(tmp_path, stored, mask, ending):
    file = save(stored, tmp_path / f"b{ending}")
    found = read_betas(file, mask=mask, trials=TRIALS, scale=1 / 300)
    np.testing.assert_allclose(found.values, stored[mask].T / 300, rtol=1e-6)
    np.testing.assert_array_equal(np.stack([found.i, found.j, found.k], 1), np.argwhere(mask))
    np.testing.assert_array_equal(np.reshape(found.attrs["affine"], (4, 4)), AFFINE)
    assert found.trial.values.tolist() == [1, 2, 3]
    assert found.dtype == np.float32


def test_big_endian_and_own_slope(tmp_path, stored):
    header = nibabel.Nifti1Header(endianness=">")
    image = nibabel.Nifti1Image(stored.astype(">i2"), AFFINE, header)
    image.header.set_slope_inter(0.5, 3)
    file = tmp_path / "b.nii"
    nibabel.save(image, file)
    wanted = nibabel.load(file).get_fdata().reshape(-1, 3).T
    np.testing.assert_allclose(read_betas(file, trials=TRIALS).values, wanted, rtol=1e-6)


def test_hdf5_is_the_transpose_of_nifti(tmp_path, stored, mask):
    with h5py.File(tmp_path / "b.hdf5", "w") as file:
        file["betas"] = stored.T
    mask_file = save(mask.astype(np.float32), tmp_path / "mask.nii")
    found = read_betas(tmp_path / "b.hdf5", mask=mask_file, trials=TRIALS, scale=1 / 300)
    np.testing.assert_allclose(found.values, stored[mask].T / 300, rtol=1e-6)
    np.testing.assert_array_equal(np.reshape(found.attrs["affine"], (4, 4)), AFFINE)


def test_surfaces_have_vertices(tmp_path):
    rows = np.random.default_rng(0).normal(size=(3, 7)).astype(np.float32)
    arrays = [nibabel.gifti.GiftiDataArray(r, datatype="NIFTI_TYPE_FLOAT32") for r in rows]
    nibabel.save(nibabel.gifti.GiftiImage(darrays=arrays), tmp_path / "lh.gii")
    found = read_betas(tmp_path / "lh.gii", mask=np.arange(7) > 3, trials=TRIALS)
    np.testing.assert_array_equal(found.values, rows[:, 4:])
    assert found.vertex.values.tolist() == [4, 5, 6]
    write_map(found.values, tmp_path / "out.gii", like=found, name="back")
    back = nibabel.load(tmp_path / "out.gii")
    np.testing.assert_array_equal(back.darrays[1].data[4:], rows[1, 4:])
    assert np.isnan(back.darrays[1].data[:4]).all()
    assert back.darrays[0].intent == nibabel.nifti1.intent_codes["NIFTI_INTENT_ESTIMATE"]


@pytest.mark.parametrize("ending", [".mgh", ".mgz"])
def test_freesurfers_volumes_have_voxels(tmp_path, stored, mask, ending):
    file = tmp_path / f"b{ending}"
    nibabel.save(nibabel.MGHImage(stored.astype(np.float32), AFFINE), file)
    found = read_betas(file, mask=mask, trials=TRIALS)
    np.testing.assert_array_equal(found.values, stored[mask].T)
    np.testing.assert_array_equal(np.stack([found.i, found.j, found.k], 1), np.argwhere(mask))
    nibabel.save(nibabel.MGHImage(mask.astype(np.float32), AFFINE), file)
    np.testing.assert_array_equal(read_map(file)[0], mask)
    assert region_table(label_voxels(found, file)).n_voxels.tolist() == [mask.sum()]


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_maps_return_to_their_grid(tmp_path, stored, mask, ending):
    save(stored.astype(np.float32), tmp_path / "b.nii")
    betas = read_betas(tmp_path / "b.nii", mask=mask, trials=TRIALS)
    write_map(betas[0], tmp_path / f"map{ending}", like=betas, name="first")
    image = nibabel.load(tmp_path / f"map{ending}")
    np.testing.assert_array_equal(image.affine, AFFINE)
    assert image.header["sform_code"] == betas.attrs["sform_code"] == 2
    assert image.header.get_data_dtype() == np.float32
    np.testing.assert_array_equal(image.get_fdata()[mask], stored[..., 0][mask])
    assert np.isnan(image.get_fdata()[~mask]).all()
    assert bytes(image.header["intent_name"]).rstrip(b"\0") == b"first"
    write_map(betas, tmp_path / f"all{ending}", like=betas, outside=0, tr_s=1.5)
    assert nibabel.load(tmp_path / f"all{ending}").header.get_zooms()[3] == 1.5
    again = read_betas(tmp_path / f"all{ending}", mask=mask, trials=TRIALS)
    np.testing.assert_array_equal(again.values, betas.values)


def test_a_failed_write_leaves_nothing(tmp_path, stored, mask):
    save(stored.astype(np.float32), tmp_path / "b.nii")
    betas = read_betas(tmp_path / "b.nii", mask=mask, trials=TRIALS)
    with pytest.raises(ValueError, match="a number a neuroid"):
        write_map(np.ones(3), tmp_path / "map.nii", like=betas)
    with pytest.raises(ValueError, match="15 characters"):
        write_map(betas[0], tmp_path / "map.nii", like=betas, name="a name that is too long")
    with pytest.raises(ValueError, match="folder that exists"):
        write_map(betas[0], tmp_path / "none" / "map.nii", like=betas)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b.nii"]


def test_a_folder_that_cannot_be_written_is_said_with_the_file(tmp_path, stored, monkeypatch):
    import tempfile

    betas = read_betas(save(stored, tmp_path / "b.nii"), trials=TRIALS, scale=1)

    def refused(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "mkstemp", refused)
    with pytest.raises(
        PermissionError, match=r"map\.nii could not be written \(Permission denied\); nothing was changed"
    ):
        write_map(betas[0], tmp_path / "map.nii", like=betas)


def bold_file(path, n=6, tr_s=2.0, value=1.0):
    image = nibabel.Nifti1Image(np.arange(n) * np.full((2, 1, 1, 1), value, np.float32), AFFINE)
    image.header.set_zooms((2, 2, 2.5, tr_s))
    image.header.set_xyzt_units("mm", "sec")
    nibabel.save(image, path)
    return path


def test_runs_and_times(tmp_path):
    files = [bold_file(tmp_path / f"r{r}.nii.gz", n) for r, n in ((1, 4), (2, 3))]
    bold = read_bold(files, runs=["one", "two"])
    assert bold.run.values.tolist() == ["one"] * 4 + ["two"] * 3
    assert bold.time_s.values.tolist() == [0, 2, 4, 6, 0, 2, 4]
    assert bold.attrs["tr_s"] == 2
    assert bold.values[:, 0].tolist() == [0, 1, 2, 3, 0, 1, 2]
    with pytest.raises(ValueError, match=r"tr_s must be 2, as the header of r1\.nii\.gz says, got 1\.5"):
        read_bold(files, tr_s=1.5)
    with pytest.raises(ValueError, match="one piece"):
        read_bold(files[0], runs=[1, 2, 1, 2])


def test_the_run_with_nan_is_named(tmp_path):
    whole, bad = (bold_file(tmp_path / f"r{r}.nii", 4) for r in (1, 2))
    values = nibabel.load(bad).get_fdata().astype(np.float32)
    values[1, 0, 0, 2] = np.nan
    nibabel.save(nibabel.Nifti1Image(values, AFFINE), bad)
    with pytest.raises(ValueError, match=r"^r2\.nii must be free of NaN .* 1 of 2 voxels .* \(1, 0, 0\)"):
        read_bold([whole, bad], tr_s=2.0)
    assert read_bold([whole, bad], tr_s=2.0, nan="drop").shape == (8, 1)


def test_time_between_volumes_must_be_known(tmp_path, stored):
    save(stored, tmp_path / "b.nii")
    with pytest.raises(ValueError, match=r"tr_s must be given: b\.nii"):
        read_bold(tmp_path / "b.nii")


def test_cleaning_keeps_runs_apart(tmp_path):
    files = [bold_file(tmp_path / f"r{r}.nii", 20, value=v) for r, v in ((1, 1), (2, 5))]
    bold = read_bold(files)
    bold = bold + np.random.default_rng(0).normal(size=bold.shape)
    bold.attrs["tr_s"] = 2.0
    bold.attrs |= {"units": "a.u.", "source": ""}
    clean = clean_bold(bold)
    for run in (1, 2):
        part = clean[clean.run == run]
        np.testing.assert_allclose(part.mean("presentation"), 0, atol=1e-5)
        np.testing.assert_allclose(part.std("presentation", ddof=1), 1, rtol=1e-5)
        assert abs(np.polyfit(np.arange(20), part.values, 1)[0]).max() < 1e-6
    with pytest.raises(ValueError, match="tr_s"):
        clean_bold(bold.drop_vars("run"))
    other = np.random.default_rng(1).normal(size=(40, 2))
    other[0] = np.nan
    for change, what in [({"confounds": other}, "confounds must be finite, got 2 NaN .*derivatives"),
                         ({"confounds": np.ones((20, 4))}, r"confounds must be \(40, confound\), got shape \(20, 4\)"),
                         ({"low_pass_hz": 0.25}, "low_pass_hz must be below .* 0.25 Hz"),
                         ({"high_pass_hz": -0.1}, "high_pass_hz must be a finite number above 0"),
                         ({"high_pass_hz": 0.1, "low_pass_hz": 0.05}, "high_pass_hz must be below")]:  # fmt: skip
        with pytest.raises(ValueError, match=what):
            clean_bold(bold, **change)


def test_labels_and_regions(tmp_path, stored, mask):
    save(stored.astype(np.float32), tmp_path / "b.nii")
    betas = read_betas(tmp_path / "b.nii", mask=mask, trials=TRIALS)
    roi = np.full(GRID, -1, np.float32)
    roi[:2], roi[2] = 1, 4
    roi[0, 0, 0] = np.nan
    save(roi, tmp_path / "roi.nii")
    named = label_voxels(betas, tmp_path / "roi.nii", names={1: "V1", 4: "V4"}, outside="none")
    wanted = np.where(betas.i < 2, "V1", np.where(betas.i == 2, "V4", "none"))
    if mask[0, 0, 0]:
        wanted[0] = "none"
    assert named.region.values.tolist() == wanted.tolist()
    table = region_table(named)
    assert table.loc["V4", "n_voxels"] == mask[2].sum()
    assert table.loc["V4", "x_mm"] == AFFINE[0, 3] - 2 * 2
    with pytest.raises(ValueError, match=r"every label of roi\.nii"):
        label_voxels(betas, tmp_path / "roi.nii", names={1: "V1"})
    with pytest.raises(TypeError, match="path must be the path of a file, got ndarray"):
        label_voxels(betas, roi)
    save(roi / 3, tmp_path / "half.nii")
    with pytest.raises(ValueError, match=r"half\.nii must be a file of whole numbers"):
        label_voxels(betas, tmp_path / "half.nii")


def test_resampling_onto_a_file(tmp_path, stored):
    save(stored, tmp_path / "b.nii")
    fine = AFFINE @ np.diag([0.5, 0.5, 0.5, 1])
    save(np.ones((8, 10, 6), np.uint8), tmp_path / "fine.nii", fine)
    with pytest.raises(ValueError, match=r"fine\.nii must be on the grid"):
        read_betas(tmp_path / "b.nii", mask=tmp_path / "fine.nii", trials=TRIALS, scale=1)
    resample_volume(tmp_path / "fine.nii", tmp_path / "m.nii", like=tmp_path / "b.nii", interpolation="nearest")
    assert read_betas(tmp_path / "b.nii", mask=tmp_path / "m.nii", trials=TRIALS, scale=1).shape == (3, 60)
    save(np.ones((2, 2, 2), np.uint8), tmp_path / "away.nii", np.diag([1, 1, 1, 1.0]) + np.eye(4)[:, 3:] * 900)
    with pytest.raises(ValueError, match=r"away\.nii must be a volume that reaches"):
        resample_volume(tmp_path / "away.nii", tmp_path / "n.nii", like=tmp_path / "b.nii", interpolation="nearest")
    with pytest.raises(ValueError, match=r"b\.nii must be of one volume, got 3"):
        resample_volume(tmp_path / "b.nii", tmp_path / "n.nii", like=tmp_path / "b.nii", interpolation="nearest")
    with pytest.raises(ValueError, match=r"out must be a \.nii or \.nii\.gz file, got n\.gii"):
        resample_volume(tmp_path / "fine.nii", tmp_path / "n.gii", like=tmp_path / "b.nii", interpolation="nearest")
    assert not list(tmp_path.glob("n.*"))


def test_wrong_affine_and_shape_name_both_files(tmp_path, stored, mask):
    save(stored, tmp_path / "b.nii")
    moved = AFFINE.copy()
    moved[0, 3] += 3
    save(mask.astype(np.uint8), tmp_path / "moved.nii", moved)
    with pytest.raises(ValueError, match=r"moved\.nii must be on the grid of b\.nii, got .* 3 mm away"):
        read_betas(tmp_path / "b.nii", mask=tmp_path / "moved.nii", trials=TRIALS, scale=1)
    with pytest.raises(ValueError, match=r"mask must be on the grid \(4, 5, 3\) of b\.nii, got shape"):
        read_betas(tmp_path / "b.nii", mask=mask[:2], trials=TRIALS, scale=1)
    other = save(np.zeros((4, 5, 4, 2), np.float32), tmp_path / "other.nii")
    with pytest.raises(ValueError, match=r"other\.nii must be on the grid \(4, 5, 3\) of b\.nii"):
        read_bold([tmp_path / "b.nii", other], tr_s=2)


def test_empty_mask_nan_and_infinity_name_the_file(tmp_path, stored):
    save(stored, tmp_path / "b.nii")
    save(np.full(GRID, -1, np.float32), tmp_path / "none.nii")
    with pytest.raises(ValueError, match=r"none\.nii must be a mask with at least one voxel"):
        read_betas(tmp_path / "b.nii", mask=tmp_path / "none.nii", trials=TRIALS, scale=1)
    with pytest.raises(ValueError, match="at least one voxel"):
        read_betas(tmp_path / "b.nii", mask=np.zeros(GRID, bool), trials=TRIALS, scale=1)
    bad = stored.astype(np.float32)
    bad[1, 2, 0, 1] = np.nan
    save(bad, tmp_path / "nan.nii")
    with pytest.raises(ValueError, match=r"nan\.nii must be free of NaN .* 1 of 60 voxels with NaN, .*\(1, 2, 0\)"):
        read_betas(tmp_path / "nan.nii", trials=TRIALS)
    assert read_betas(tmp_path / "nan.nii", trials=TRIALS, nan="drop").shape == (3, 59)
    assert np.isnan(read_betas(tmp_path / "nan.nii", trials=TRIALS, nan="keep")).sum() == 1
    bad[0, 0, 0, 0] = np.inf
    save(bad, tmp_path / "inf.nii")
    with pytest.raises(ValueError, match=r"inf\.nii must be free of infinite"):
        read_betas(tmp_path / "inf.nii", trials=TRIALS)


def test_trials_must_match_the_volumes(tmp_path, stored):
    save(stored, tmp_path / "b.nii")
    with pytest.raises(ValueError, match=r"of 3 rows, one for each volume of b\.nii, got 2 rows"):
        read_betas(tmp_path / "b.nii", trials=TRIALS[:2], scale=1)
    twice = TRIALS.assign(trial=[1, 2, 2])
    twice.to_csv(tmp_path / "trials.tsv", sep="\t", index=False)
    with pytest.raises(ValueError, match=r"trials\.tsv must be a table with every trial of b\.nii once"):
        read_betas(tmp_path / "b.nii", trials=tmp_path / "trials.tsv", scale=1)
    repeats = pd.DataFrame({"stimulus_id": ["a", "a", "a"], "repetition": [0, 1, 1]})
    with pytest.raises(
        ValueError,
        match=r"trials must be a table with every trial of b\.nii once, got stimulus_id a, repetition 1 twice",
    ):
        read_betas(tmp_path / "b.nii", trials=repeats, scale=1)
    by_session = repeats.assign(session=[1, 1, 2])
    assert read_betas(tmp_path / "b.nii", trials=by_session, scale=1).sizes["presentation"] == 3
    with pytest.raises(ValueError, match="column stimulus_id"):
        read_betas(tmp_path / "b.nii", trials=TRIALS.drop(columns="stimulus_id"), scale=1)
    with pytest.raises(ValueError, match="no stimulus_id in row 1"):
        read_betas(tmp_path / "b.nii", trials={"stimulus_id": ["a", None, "b"]}, scale=1)
    with pytest.raises(ValueError, match="a table that exists"):
        read_betas(tmp_path / "b.nii", trials=tmp_path / "no.tsv", scale=1)


@pytest.mark.parametrize("kind", ["c8", [("R", "u1"), ("G", "u1"), ("B", "u1")]])
def test_colours_and_complex_numbers_are_refused(tmp_path, kind):
    file = save(np.zeros((*GRID, 3), dtype=kind), tmp_path / "odd.nii")
    with pytest.raises(ValueError, match=r"odd\.nii must be of real numbers, whole or float, got"):
        read_betas(file, trials=TRIALS)


def test_arrays_of_unequal_length_name_the_file(tmp_path):
    arrays = [nibabel.gifti.GiftiDataArray(np.ones(n, np.float32), datatype="NIFTI_TYPE_FLOAT32") for n in (7, 5, 7)]
    nibabel.save(nibabel.gifti.GiftiImage(darrays=arrays), tmp_path / "ragged.gii")
    with pytest.raises(ValueError, match=r"ragged\.gii must be of one number of vertices in every array, got .*5.*7"):
        read_betas(tmp_path / "ragged.gii", trials=TRIALS)
    arrays[0].data = arrays[0].data[:5]  # and its header still says 7
    nibabel.save(nibabel.gifti.GiftiImage(darrays=arrays[:1]), tmp_path / "short.gii")
    with pytest.raises(ValueError, match=r"short\.gii must be a readable file .* cannot reshape"):
        read_betas(tmp_path / "short.gii", trials=TRIALS)


def two_sides():
    where = {"hemi": ("neuroid", list("LLRR")), "vertex": ("neuroid", [0, 1, 0, 1])}
    made = make_responses(np.ones((1, 4)), stimulus_id=["a"], coords=where)
    made.attrs["volume_shape"] = [2, 1, 1]
    return made


def test_hemispheres_are_written_together(tmp_path):
    like = two_sides()
    for side in ("lh", "rh"):
        (tmp_path / f"{side}.x.gii").mkdir()
        with pytest.raises(ValueError, match=rf"path must be the name of a file, got the folder .*{side}\.x\.gii"):
            write_map(np.arange(4.0), tmp_path / "{hemi}.x.gii", like=like)
        assert [p.name for p in tmp_path.iterdir()] == [f"{side}.x.gii"]
        (tmp_path / f"{side}.x.gii").rmdir()
    write_map(np.arange(4.0), tmp_path / "{hemi}.x.gii", like=like)
    assert [nibabel.load(tmp_path / f"{s}.x.gii").darrays[0].data.tolist() for s in ("lh", "rh")] == [[0, 1], [2, 3]]


def test_a_full_disk_at_the_second_hemisphere_leaves_none(tmp_path, monkeypatch):
    save_one, done = nibabel.save, []

    def full(image, path):
        done.append(path)
        if len(done) == 2:
            raise OSError(28, "No space left on device")
        save_one(image, path)

    monkeypatch.setattr(nibabel, "save", full)
    with pytest.raises(OSError, match=r"rh\.x\.gii could not be written \(No space"):
        write_map(np.arange(4.0), tmp_path / "{hemi}.x.gii", like=two_sides())
    assert list(tmp_path.iterdir()) == []


def test_scaling_is_said_once(tmp_path, stored):
    save(stored, tmp_path / "bare.nii")
    with pytest.raises(ValueError, match=r"scale must be given for bare\.nii, .* scale=1/300"):
        read_betas(tmp_path / "bare.nii", trials=TRIALS)
    save(stored, tmp_path / "own.nii", slope=1 / 300)
    with pytest.raises(ValueError, match=r"scale must be None for own\.nii, .* scaled twice"):
        read_betas(tmp_path / "own.nii", trials=TRIALS, scale=1 / 300)
    with pytest.raises(ValueError, match="scale must be a finite number above 0"):
        read_betas(tmp_path / "bare.nii", trials=TRIALS, scale=0.0)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_truncated_files_are_named(tmp_path, ending):
    noise = np.random.default_rng(0).integers(0, 9999, (10, 10, 10, 3)).astype(np.int16)
    file = save(noise, tmp_path / f"half{ending}")
    file.write_bytes(file.read_bytes()[: file.stat().st_size * 2 // 3])
    with pytest.raises(ValueError, match="half" + ending.replace(".", r"\.")):
        read_betas(file, trials=TRIALS, scale=1)


@pytest.mark.parametrize("name", ["text.nii", "text.nii.gz", "text.gii", "text.hdf5", "text.mgh"])
def test_files_that_are_something_else_are_named(tmp_path, name):
    (tmp_path / name).write_text("not a volume")
    with pytest.raises(ValueError, match=name.replace(".", r"\.")):
        read_betas(tmp_path / name, trials=TRIALS, scale=1)
    with pytest.raises(ValueError, match="a file that exists"):
        read_betas(tmp_path / "missing.nii", trials=TRIALS, scale=1)


def test_gzip_that_ends_early_is_named(tmp_path, stored):
    plain = save(stored, tmp_path / "b.nii").read_bytes()
    (tmp_path / "short.nii.gz").write_bytes(gzip.compress(plain[:-50]))
    with pytest.raises(ValueError, match=r"short\.nii\.gz must be 3 whole volumes, .* ends in volume 3"):
        read_betas(tmp_path / "short.nii.gz", trials=TRIALS, scale=1)


@pytest.mark.parametrize("footer", [b"", b"more" * 9])
def test_a_changed_byte_in_a_gzip_file_is_seen(tmp_path, footer):
    stored = np.random.default_rng(0).integers(-900, 900, (20, 20, 20, 3)).astype(np.int16)

    def flipped(array, name):
        file = save(array, tmp_path / name)
        whole = bytearray(gzip.compress(gzip.decompress(file.read_bytes()) + footer, 0))
        whole[-100] ^= 1  # in the last volume; stored as it is, so that only the checksum knows
        file.write_bytes(whole)
        return file

    with pytest.raises(ValueError, match=r"flipped\.nii\.gz must be a readable file .* CRC check failed"):
        read_betas(flipped(stored, "flipped.nii.gz"), trials=TRIALS, scale=1)
    mask = flipped((stored[..., 0] > 0).astype(np.float32), "mask.nii.gz")
    with pytest.raises(ValueError, match=r"mask\.nii\.gz must be a readable file"):
        read_betas(save(stored, tmp_path / "b.nii"), mask=mask, trials=TRIALS, scale=1)


@pytest.mark.parametrize("first", [np.nan, 0.0])
def test_an_affine_without_a_place_names_the_file(tmp_path, stored, first):
    raw = bytearray(save(stored, tmp_path / "lost.nii").read_bytes())
    raw[280:296] = np.float32([first, 0, 0, 0]).tobytes()  # srow_x
    (tmp_path / "lost.nii").write_bytes(raw)
    with pytest.raises(ValueError, match=r"lost\.nii must be with an affine that can be inverted"):
        read_betas(tmp_path / "lost.nii", trials=TRIALS, scale=1)


@pytest.mark.parametrize("shape", [None, (0, 2, 2, 2)])
def test_hdf5_files_without_trials_are_named(tmp_path, shape):
    with h5py.File(tmp_path / "none.hdf5", "w") as file:
        _ = file.create_group("betas") if shape is None else file.create_dataset("betas", shape, np.int16)
    with pytest.raises(ValueError, match=r"none\.hdf5 must be"):
        read_betas(tmp_path / "none.hdf5", trials=TRIALS[:0], scale=1)


@pytest.mark.parametrize("column", ["i", "neuroid_id", "vertex"])
def test_columns_of_trials_are_never_lost_behind_those_of_voxels(tmp_path, stored, column):
    with pytest.raises(ValueError, match=f"trials must be without a column named as .*got {column}. Rename it"):
        read_betas(save(stored, tmp_path / "b.nii"), trials=TRIALS.assign(**{column: [7, 8, 9]}), scale=1)


def test_milliseconds_are_not_seconds(tmp_path, stored):
    file = save(stored, tmp_path / "b.nii")
    with pytest.raises(ValueError, match=r"tr_s must be a number of seconds, at most 60, got 2000"):
        read_bold(file, tr_s=2000)
    with pytest.raises(ValueError, match=r"tr_s of b\.nii must be a number of seconds, at most 60, got 1500"):
        read_bold(bold_file(file, tr_s=1500.0))


def test_maps_that_would_not_read_back_are_not_written(tmp_path, stored):
    betas = read_betas(save(stored, tmp_path / "b.nii"), trials=TRIALS, scale=1)
    n = betas.sizes["neuroid"]
    for values, change, what in [(np.full(n, 1e300), {}, "values must be within float32"),
                                 (np.ones((0, n)), {}, "a number a neuroid"),
                                 (np.ones((2, n)), {"tr_s": -1.0}, "tr_s must be"),
                                 (np.ones((2, n)), {"tr_s": 0.0}, "tr_s must be")]:  # fmt: skip
        with pytest.raises(ValueError, match=what):
            write_map(values, tmp_path / "map.nii", like=betas, **change)
    both = betas.assign_coords(i=("neuroid", np.zeros(n, int)))
    with pytest.raises(ValueError, match=r"like must be of each voxel once, got \(0, 0, 0\) twice"):
        write_map(np.ones(n), tmp_path / "map.nii", like=both)
    assert not (tmp_path / "map.nii").exists()


def test_events(tmp_path):
    (tmp_path / "r.tsv").write_text("onset\tduration\ttrial_type\n1\t0\tface\n")
    with pytest.raises(ValueError, match="runs must be a different label for each file"):
        read_events([tmp_path / "r.tsv"] * 2, runs=[1, 1])
    for run in (1, 2):
        (tmp_path / f"r{run}.tsv").write_text(f"onset\tduration\ttrial_type\n{run}\t0\tface\n")
    table = read_events([tmp_path / "r1.tsv", tmp_path / "r2.tsv"])
    assert table[["run", "onset"]].values.tolist() == [[1, 1], [2, 2]]
    (tmp_path / "null.tsv").write_text("onset\tduration\ttrial_type\n1\t0\tnull\n")
    assert read_events(tmp_path / "null.tsv").trial_type.tolist() == ["null"]
    for text, what in [("onset\tduration\ttrial_type\n", "no rows"), ("onset\tduration\n1\t2\n", "trial_type"),
                       ("onset\tduration\ttrial_type\nn/a\t1\tface\n", "onset"),
                       ("onset\tduration\ttrial_type\n1\t1\ta\n2\t1\tn/a\n", r"names every trial_type, .*\[1\]"),
                       ("", "tab-separated"),
                       ("onset\tduration\ttrial_type\n1\t-1\tface\n", "durations of 0 or more")]:  # fmt: skip
        (tmp_path / "bad.tsv").write_text(text)
        with pytest.raises(ValueError, match=rf"bad\.tsv.*{what}"):
            read_events(tmp_path / "bad.tsv")


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_memory_does_not_grow_with_the_file(tmp_path, ending):
    """60 volumes of 0.5 MB: the whole is 30 MB, what is asked for 0.2 MB."""
    import tracemalloc

    values = np.zeros((64, 64, 64, 60), np.int16)
    file = save(values, tmp_path / f"b{ending}")
    mask = np.zeros((64, 64, 64), bool)
    mask[:10, :10, :10] = True
    read_betas(file, mask=mask, trials={"stimulus_id": range(60)}, scale=1)
    tracemalloc.start()
    found = read_betas(file, mask=mask, trials={"stimulus_id": range(60)}, scale=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.shape == (60, 1000)
    assert peak < 4e6


def test_what_was_read_survives_netcdf(tmp_path, stored, mask):
    from neuroperc.data import read_responses, write_responses

    save(stored, tmp_path / "b.nii")
    betas = read_betas(tmp_path / "b.nii", mask=mask, trials=TRIALS, scale=1)
    write_responses(betas, tmp_path / "b.nc")
    back = read_responses(tmp_path / "b.nc")
    write_map(back[0], tmp_path / "a.nii", like=back)
    write_map(betas[0], tmp_path / "c.nii", like=betas)
    assert (tmp_path / "a.nii").read_bytes() == (tmp_path / "c.nii").read_bytes()
