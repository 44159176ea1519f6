"""Readers of published neural data: on the data themselves where they are, and on damaged or missing files."""

import numpy as np
import pytest

import neuroperc as npc
from neuroperc.metrics import pearson, rdm_vector

DISPLAY = npc.Display.from_px_per_deg(14, resolution_px=(175, 175))


def test_a_v4_session(data_dir):
    folder = data_dir / "brainscore" / "cowley2023_v4"
    table = npc.data.cowley_v4_sessions(folder)
    assert table.loc["210325", ["n_neurons", "n_images"]].tolist() == [50, 640]
    trials = npc.data.read_cowley_v4(folder, "210325")
    counts = np.bincount(np.unique(trials.stimulus_id, return_counts=True)[1])
    assert np.flatnonzero(counts).tolist() == [6, 7, 8, 9, 10]
    mean = npc.data.read_cowley_v4(folder, "210325", repeats=False)
    np.testing.assert_array_equal(npc.data.average_repeats(trials).values, mean.values)
    other = npc.data.read_cowley_v4(folder, "190923")
    assert other.shape == (1200, 33)
    with pytest.raises(ValueError, match="session must be one of 190923"):
        npc.data.read_cowley_v4(folder, "999999")
    with pytest.raises(ValueError, match="repeats must be False for session 190923, got True"):
        npc.data.read_cowley_v4(folder, "190923", repeats=True)
    with pytest.raises(ValueError, match="one with pictures, got 201016"):
        npc.data.read_cowley_stimuli(folder, "201016", display=DISPLAY, size_deg=8)


def test_v4_pictures_in_their_order(data_dir):
    folder = data_dir / "brainscore" / "cowley2023_v4"
    pictures = npc.data.read_cowley_stimuli(folder, "210305", display=DISPLAY, size_deg=8)
    assert len(pictures) == 400 and pictures[0].shape == (3, 112, 112)
    assert pictures.ids[:2] == ["image0001", "image0002"]
    assert pictures.ids == npc.data.read_cowley_v4(folder, "210305").stimulus_id.values.tolist()


def test_92_objects(data_dir):
    folder = data_dir / "brainscore" / "kriegeskorte2008_92"
    brains = npc.data.read_objects92(folder)
    monkey, human = (rdm_vector(brains[name].values) for name in ("monkey_it", "human_it"))
    assert float(pearson(monkey, human)) == pytest.approx(0.4912, abs=1e-4)  # published .49
    assert brains.human_it_sessions.shape == (4, 2, 92, 92) and brains.judgement.shape == (16, 92, 92)
    objects = npc.data.read_objects92_stimuli(folder, display=DISPLAY, size_deg=2.9)
    assert objects.ids == brains.stimulus_id.values.tolist() and objects[0].shape == (3, 175, 175)
    animate = brains.category.sel(kind="animate").values.astype(bool)
    np.testing.assert_array_equal(objects.table["animal"].to_numpy(bool), animate)


def test_78_photographs(data_dir):
    folder = data_dir / "brainscore" / "algonauts_78"
    brains = npc.data.read_photographs78(folder)
    assert brains.it.shape == (15, 78, 78)
    pictures = npc.StimulusSet.from_folder(folder / "stimuli", DISPLAY, size_deg=8, fit="resize")
    assert pictures.ids == brains.stimulus_id.values.tolist()


def test_it_spikes(data_dir):
    path = data_dir / "brainscore" / "zhang_desimone_it" / "zhang_desimone_spikes.npz"
    whole = npc.data.read_zhang_it(path, window_s=(-0.5, 0.5))
    assert float(np.nanmean(whole)) == pytest.approx(10.88, abs=0.005)
    assert int(np.isfinite(whole).sum()) == 55433 and whole.sizes["neuroid"] == 132
    it = npc.data.read_zhang_it(path)
    assert set(it.object.values) >= {"car", "couch", "face"}
    # Nearest mean pattern of ten trials a site names the object, as its authors found.
    means = npc.data.average_repeats(it.isel(presentation=it.repetition.values < 10))
    others = npc.data.average_repeats(it.isel(presentation=(it.repetition.values >= 10) & (it.repetition.values < 20)))
    r = np.corrcoef(
        means.values,
        others.sel(presentation=[others.stimulus_id.values.tolist().index(n) for n in means.stimulus_id.values]).values,
    )[:21, 21:]
    named = others.object.values[[others.stimulus_id.values.tolist().index(n) for n in means.stimulus_id.values]][
        r.argmax(axis=1)
    ]
    assert (named == means.object.values).mean() > 0.9
    with pytest.raises(ValueError, match="window_s must be two rising times"):
        npc.data.read_zhang_it(path, window_s=(0.4, 0.1))


def test_missing_and_damaged_files_are_named(tmp_path):
    for read in (npc.data.cowley_v4_sessions, npc.data.read_objects92, npc.data.read_photographs78):
        with pytest.raises(ValueError, match="folder must be with"):
            read(tmp_path)
    with pytest.raises(ValueError, match="path must be a file that exists"):
        npc.data.read_zhang_it(tmp_path / "none.npz")
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "images_1.zip").write_bytes(b"PK no archive")
    with pytest.raises(ValueError, match="a whole ZIP file"):
        npc.data.read_cowley_stimuli(tmp_path, "1", display=DISPLAY, size_deg=8)
    np.savez(tmp_path / "fmri_EVC_RDMs.npz", np.zeros((3, 4)))
    with pytest.raises(ValueError, match=r"\(subject, n, n\)"):
        npc.data.read_photographs78(tmp_path)
    np.savez(tmp_path / "spikes.npz", site=np.zeros(3))
    with pytest.raises(ValueError, match="without"):
        npc.data.read_zhang_it(tmp_path / "spikes.npz")
    for name, read in (("fmri_EVC_RDMs.npz", npc.data.read_photographs78), ("spikes.npz", None)):
        torn = tmp_path / name
        torn.write_bytes(torn.read_bytes()[:100])
        with pytest.raises(ValueError, match=r"a whole .npz file"):
            read(tmp_path) if read else npc.data.read_zhang_it(torn)
    (tmp_path / "Kriegeskorte_Neuron2008_supplementalData.mat").write_bytes(b"no MATLAB file at all" * 20)
    with pytest.raises(ValueError, match="a whole MATLAB file"):
        npc.data.read_objects92(tmp_path)


@pytest.mark.parametrize("share", [0.02, 0.5, 0.98])
def test_files_that_were_cut_are_named(data_dir, tmp_path, share):
    root = data_dir / "brainscore"
    kept = root / "cowley2023_v4"
    for source in (root / "kriegeskorte2008_92").glob("*.mat"):
        (tmp_path / source.name).write_bytes(source.read_bytes()[: int(share * source.stat().st_size)])
    with pytest.raises(ValueError, match="a whole MATLAB file"):
        npc.data.read_objects92(tmp_path)
    for name in ("responses_raw", "responses_repeat_averaged", "images"):
        (tmp_path / name).mkdir()
        for source in (kept / name).iterdir():
            (tmp_path / name / source.name).symlink_to(source)
    cut = tmp_path / "responses_raw" / "responses_210325.npy"
    content = cut.read_bytes()
    cut.unlink()
    cut.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r"a whole .npy file"):
        npc.data.read_cowley_v4(tmp_path, "210325")
