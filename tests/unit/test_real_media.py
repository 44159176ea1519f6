"""Real pictures and movies are read; their sizes and rates are those that their makers state."""

import zipfile

import numpy as np
import pytest
from PIL import Image

import neuroperc as npc
from neuroperc.data import StimulusSet, load_movie


def test_cifar_jpegs_from_their_zip(data_dir, tmp_path):
    with zipfile.ZipFile(data_dir / "pictures" / "cifar10_18000_jpeg.zip") as archive:
        names = [n for n in archive.namelist() if n.endswith(".jpg")]
        assert len(names) == 18000
        archive.extractall(tmp_path, names[::600])
    display = npc.Display.from_px_per_deg(4, resolution_px=(32, 32))
    s = StimulusSet.from_folder(tmp_path, display)
    assert len(s) == 30
    assert set(s.shapes) == {(3, 32, 32)}
    assert {name.split("/")[-2] for name in s.ids} <= {n.split("/")[-2] for n in names}
    with Image.open(tmp_path / s.table["path"].iloc[7]) as image:
        assert np.array_equal(np.rint(s.to_encoding("srgb")[7].numpy() * 255).transpose(1, 2, 0), np.asarray(image))
    s.save(tmp_path / "kept")
    assert StimulusSet.load(tmp_path / "kept", verify=True).fingerprint == s.fingerprint


def test_interiors_search_pictures(data_dir):
    lab = npc.Display((768, 1024), (0.28, 0.37), 0.55)
    s = StimulusSet.from_folder(data_dir / "search" / "interiors" / "images", lab)
    assert len(s) >= 20
    assert {shape[-2:] for shape in s.shapes} == {(768, 1024)}
    spread = [float(x.std()) for x in s[:4]]
    assert min(spread) > 0.02


@pytest.mark.parametrize(
    ("name", "fps", "n_frames", "shape"),
    [
        ("bigbuckbunny", 25.0, 132, (3, 720, 1280)),
        ("bikes", 25.0, 250, (3, 272, 640)),
        ("carphone_pristine", 30000 / 1001, 120, (3, 144, 176)),
    ],
)
@pytest.mark.filterwarnings("ignore:.*pixels of aspect:UserWarning")
def test_videos(data_dir, name, fps, n_frames, shape):
    display = npc.Display.from_px_per_deg(30, resolution_px=shape[1:])
    path = data_dir / "motion" / "videos" / f"{name}.mp4"
    whole = load_movie(path, display)
    assert (whole.fps, whole.shapes) == (fps, [(n_frames, *shape)])
    part = load_movie(path, display, start_s=2.0, duration_s=3 / fps)[0]
    assert part.shape == (3, *shape)
    assert 0.02 < float(part.mean()) < 0.98


def test_frames_of_a_film_as_a_folder(data_dir):
    display = npc.Display.from_px_per_deg(30, resolution_px=(436, 1024))
    s = StimulusSet.from_folder(data_dir / "motion" / "sintel_frames", display, fps=24)
    assert s.shapes == [(10, 3, 436, 1024)]
    assert s.ids == ["sintel_frames"]
    assert next(s.frames(0, size=2)).shape == (2, 3, 436, 1024)
