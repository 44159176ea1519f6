"""Movie files in and out: exact rates, windows, colour, rotation, damage."""

from fractions import Fraction

import av
import numpy as np
import pytest
import torch

import neuroperc as npc
from neuroperc.color import linear_to_srgb
from neuroperc.data import StimulusSet, load_movie, save_movie
from neuroperc.data.readers.movies import as_rate, probe_movie, read_frames

DISPLAY = npc.Display.from_px_per_deg(4, resolution_px=(16, 24))
RATES = [24000 / 1001, 30000 / 1001, 60000 / 1001, 59.94, 23.976, 12.5, 24.0, 60.0, 120.0, 1.0]


def smooth(n=9, channels=3, height=16, width=24):
    """Slow ramps that 4:2:0 keeps."""
    y, x, t = np.meshgrid(np.linspace(0, 1, height), np.linspace(0, 1, width), np.arange(n) / n, indexing="ij")
    planes = [0.3 + 0.3 * x + 0.2 * t, 0.2 + 0.4 * y, 0.5 + 0.2 * (x - y) - 0.2 * t]
    return np.stack(planes[:channels]).transpose(3, 0, 1, 2).astype(np.float32)


def coded(path, codes, fps=25, stamps=None, codec="ffv1", pixels="gray", **options):
    """A movie written by PyAV alone; codes (t, h, w[, 3])."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(fps).limit_denominator(1001))
        stream.height, stream.width, stream.pix_fmt = codes.shape[1], codes.shape[2], pixels
        stream.codec_context.time_base = Fraction(1, 1000)
        for name, value in options.items():
            if name == "rotation":
                stream.set_display_rotation(value)
            elif name == "aspect":
                stream.codec_context.sample_aspect_ratio = value
            else:
                setattr(stream.codec_context, name, value)
        for k, picture in enumerate(codes):
            frame = av.VideoFrame.from_ndarray(picture, format="gray" if picture.ndim == 2 else "rgb24")
            frame = frame if frame.format.name == pixels else frame.reformat(format=pixels)
            frame.pts, frame.time_base = round(1000 * k / fps) if stamps is None else stamps[k], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".avi"])
@pytest.mark.parametrize("fps", RATES)
def test_frame_rates_come_back_exactly(tmp_path, fps, suffix):
    save_movie(smooth(4), tmp_path / f"a{suffix}", fps=fps, lossless=suffix == ".avi")
    s = load_movie(tmp_path / f"a{suffix}", DISPLAY)
    assert s.fps == fps
    assert s.shapes == [(4, 3, 16, 24)]


def test_rates_are_fractions():
    assert as_rate("fps", 24000 / 1001) == Fraction(24000, 1001)
    assert as_rate("fps", 59.94) == Fraction(2997, 50)
    assert as_rate("fps", 1 / 3) == Fraction(1, 3)
    assert float(as_rate("fps", np.pi)) == pytest.approx(np.pi, rel=1e-12)


@pytest.mark.parametrize("suffix", [".mkv", ".avi"])
@pytest.mark.parametrize("channels", [1, 3])
def test_lossless_brings_back_every_code(tmp_path, channels, suffix):
    codes = np.random.default_rng(0).integers(0, 256, (5, channels, 9, 7))
    save_movie(codes / 255, tmp_path / f"a{suffix}", fps=50, encoding="srgb", lossless=True)
    back = load_movie(tmp_path / f"a{suffix}", npc.Display.from_px_per_deg(1, resolution_px=(9, 7)))
    assert np.array_equal(np.rint(back.to_encoding("srgb")[0].numpy() * 255), codes)


@pytest.mark.parametrize("channels", [1, 3])
def test_lossless_sixteen_bits(tmp_path, channels):
    codes = np.random.default_rng(0).integers(0, 65536, (3, channels, 9, 7))
    save_movie(codes / 65535, tmp_path / "a.mkv", fps=50, encoding="srgb", lossless=True, bits=16)
    back = load_movie(tmp_path / "a.mkv", npc.Display.from_px_per_deg(1, resolution_px=(9, 7)))
    assert np.array_equal(np.rint(back.to_encoding("srgb")[0].double().numpy() * 65535), codes)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_h264_keeps_slow_pictures_within_two_codes(tmp_path, suffix):
    movie = smooth()
    save_movie(torch.from_numpy(movie), tmp_path / f"a{suffix}", fps=24, crf=0)
    back = load_movie(tmp_path / f"a{suffix}", DISPLAY).to_encoding("srgb")[0].numpy()
    error = np.abs(back - linear_to_srgb(movie))
    assert error[..., 1:-1, 2:-2].max() < 2.5 / 255
    assert error.max() < 6 / 255  # the rim has colour neighbours on one side only
    assert abs((back - linear_to_srgb(movie)).mean()) < 0.3 / 255


@pytest.mark.parametrize("colour", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1), (0, 0, 0), (0.2, 0.7, 0.4)])
def test_plain_colours_survive_h264(tmp_path, colour):
    movie = np.broadcast_to(np.array(colour, dtype=np.float32)[:, None, None], (3, 3, 16, 24))
    save_movie(movie, tmp_path / "a.mp4", fps=24, encoding="srgb", crf=1)
    back = load_movie(tmp_path / "a.mp4", DISPLAY).to_encoding("srgb")[0].numpy()
    assert np.abs(back - movie).max() < 3.1 / 255


def test_grey_movies_in_h264_stay_grey(tmp_path):
    movie = smooth(channels=1)
    save_movie(movie, tmp_path / "a.mp4", fps=24, crf=0)
    back = load_movie(tmp_path / "a.mp4", DISPLAY, channels=1)[0].numpy()
    assert np.abs(back - movie).max() < 0.015


RED = {"bt709": (1, 63, 102, 240), "bt601": (6, 81, 90, 240)}


@pytest.mark.parametrize("matrix", RED)
def test_the_matrix_that_the_file_names_is_used(tmp_path, matrix):
    number, *yuv = RED[matrix]  # red in limited range: BT.709-6 and BT.601-7
    planes = np.concatenate([np.full(n, v, np.uint8) for n, v in zip((384, 96, 96), yuv, strict=True)]).reshape(24, 24)
    path = tmp_path / "red.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = 16, 24, "yuv420p"
        stream.codec_context.colorspace, stream.codec_context.color_range = number, 1
        for k in range(2):
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.pts = k
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    back = load_movie(path, DISPLAY).to_encoding("srgb")[0]
    assert np.abs(back[0, :, 4, 4].numpy() - [1, 0, 0]).max() < 2 / 255
    other = {"bt709": "bt601", "bt601": "bt709"}[matrix]
    forced = load_movie(path, DISPLAY, matrix=other).to_encoding("srgb")[0]
    assert np.abs(forced[0, :, 4, 4].numpy() - [1, 0, 0]).max() > 10 / 255
    with pytest.raises(ValueError, match="matrix must be one of"):
        load_movie(path, DISPLAY, matrix="bt2020")[0]


def test_full_range_is_read_as_such(tmp_path):
    grey = np.full((2, 16, 24), 16, np.uint8)
    for name, full, code in (("a", 2, 16 / 255), ("b", 1, 0)):
        path = coded(tmp_path / f"{name}.mp4", grey, codec="libx264", color_range=full)
        value = float(load_movie(path, DISPLAY).to_encoding("srgb")[0].mean())
        assert value == pytest.approx(code, abs=1.5 / 255)


@pytest.mark.parametrize(("rotation", "quarter"), [(0, 0), (90, 1), (180, 2), (270, 3)])
def test_frames_are_turned_upright(tmp_path, rotation, quarter):
    codes = np.random.default_rng(0).integers(0, 256, (2, 16, 24)).astype(np.uint8)
    path = coded(tmp_path / "a.mov", codes, codec="png", rotation=rotation)
    info = probe_movie(path)
    back = np.rint(next(read_frames(info, encoding="srgb"))[0] * 255)
    assert np.array_equal(back, np.rot90(codes[0], quarter))
    assert info.shape[1:] == back.shape


def test_windows_are_the_same_frames(tmp_path):
    movie = smooth(40)
    for name, lossless in (("a.mp4", False), ("b.mkv", True)):
        save_movie(movie, tmp_path / name, fps=24000 / 1001, lossless=lossless)
        whole = load_movie(tmp_path / name, DISPLAY)[0]
        part = load_movie(tmp_path / name, DISPLAY, start_s=0.5, duration_s=0.75)
        assert part.shapes == [(18, 3, 16, 24)]
        assert torch.equal(part[0], whole[12:30])
        assert torch.equal(torch.cat(list(part.frames(0, size=7))), whole[12:30])
        assert torch.equal(load_movie(tmp_path / name, DISPLAY, start_s=39 * 1001 / 24000)[0], whole[39:])


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [(".mpg", "mpeg2video"), (".mpeg", "mpeg1video"), (".ts", "libx264"), (".avi", "mpeg4"), (".wmv", "wmv2")],
)
def test_windows_of_files_that_seek_badly(tmp_path, suffix, codec):
    """Groups of pictures, B-frames and time stamps of other kinds: a window is still the same frames."""
    codes = np.random.default_rng(0).integers(0, 256, (100, 48, 64, 3)).astype(np.uint8)
    codes[:, :, 32:] = 2 * np.arange(100, dtype=np.uint8)[:, None, None, None]
    path = str(tmp_path / f"a{suffix}")
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        stream.codec_context.gop_size, stream.codec_context.max_b_frames = 12, 0 if codec == "wmv2" else 2
        for k, picture in enumerate(codes):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = k, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    info = probe_movie(path)
    assert (info.n_frames, info.rate) == (100, 25)
    whole = np.stack(list(read_frames(info)))
    for start, stop in ((1, 4), (11, 14), (12, 13), (37, 50), (97, 100)):
        assert np.array_equal(np.stack(list(read_frames(info, start, stop))), whole[start:stop])


@pytest.mark.parametrize(
    ("window", "text"),
    [
        ({"start_s": 1.0}, r"within the movie's 0.375 s \(9 frames\), got 1 s"),
        ({"start_s": 0.2, "duration_s": 0.5}, "got 0.2 s to 0.7 s"),
        ({"duration_s": 0.001}, "got 0 s to 0.001 s"),
        ({"start_s": -1}, "start_s must be"),
        ({"duration_s": 0}, "duration_s must be"),
    ],
)
def test_windows_outside_the_movie(tmp_path, window, text):
    save_movie(smooth(), tmp_path / "a.mp4", fps=24)
    with pytest.raises(ValueError, match=text):
        load_movie(tmp_path / "a.mp4", DISPLAY, **window)


def test_movies_are_fitted_lazily(tmp_path):
    save_movie(smooth(), tmp_path / "a.mkv", fps=24, lossless=True)
    whole = load_movie(tmp_path / "a.mkv", DISPLAY)[0]
    small = npc.Display.from_px_per_deg(4, resolution_px=(8, 10))
    with pytest.raises(ValueError, match=r"a\.mkv must be of the display's size \(8, 10\)"):
        load_movie(tmp_path / "a.mkv", small)
    assert torch.equal(load_movie(tmp_path / "a.mkv", small, fit="crop")[0], whole[..., 4:12, 7:17])
    big = npc.Display.from_px_per_deg(4, resolution_px=(20, 24))
    padded = load_movie(tmp_path / "a.mkv", big, fit="pad", background=0.25)[0]
    assert torch.equal(padded[..., 2:18, :], whole)
    assert float(padded[:, :, :2].min()) == 0.25
    placed = load_movie(tmp_path / "a.mkv", DISPLAY, size_deg=3, center_deg=(1, 0))
    assert placed.on_display(0, 0.5).shape == (9, 3, 16, 24)


def test_a_set_of_one_movie_goes_back_to_a_file(tmp_path):
    s = StimulusSet.from_arrays(smooth()[None], display=DISPLAY, fps=59.94)
    save_movie(s, tmp_path / "a.mkv", lossless=True, bits=16)
    back = load_movie(tmp_path / "a.mkv", DISPLAY)
    assert back.fps == 59.94
    assert float((back[0] - s[0]).abs().max()) < 3e-5
    save_movie(s.to_encoding("srgb"), tmp_path / "b.mkv", lossless=True, bits=16)
    assert float((load_movie(tmp_path / "b.mkv", DISPLAY)[0] - s[0]).abs().max()) < 3e-5
    with pytest.raises(ValueError, match=r"fps must be left out, or the set's 59.94"):
        save_movie(s, tmp_path / "c.mp4", fps=30)
    with pytest.raises(ValueError, match="a StimulusSet of one movie"):
        save_movie(StimulusSet.from_arrays(smooth(), display=DISPLAY), tmp_path / "c.mp4", fps=24)


def test_frames_may_come_one_at_a_time(tmp_path):
    save_movie((frame for frame in smooth()), tmp_path / "a.mkv", fps=24, lossless=True)
    assert load_movie(tmp_path / "a.mkv", DISPLAY).shapes == [(9, 3, 16, 24)]


@pytest.mark.parametrize(
    ("movie", "name", "options", "error", "text"),
    [
        (smooth(), "a.mp4", {}, ValueError, "fps must be given"),
        (smooth(), "a.mp4", {"fps": 0}, ValueError, "fps must be a finite number above 0"),
        (smooth(height=15), "a.mp4", {"fps": 24}, ValueError, r"even height and width for H.264, got \(15, 24\)"),
        (smooth(), "a.webm", {"fps": 24}, ValueError, "path's suffix must be one of '.mp4'"),
        (smooth(), "a.mp4", {"fps": 24, "lossless": True}, ValueError, "suffix for a lossless movie"),
        (smooth(), "a.mp4", {"fps": 24, "bits": 16}, ValueError, "bits must be 8 for H.264"),
        (smooth(), "a.mkv", {"fps": 500, "lossless": True}, ValueError, "at most 400 in a .mkv"),
        (smooth() * 3, "a.mp4", {"fps": 24}, ValueError, r"within \[0, 1\]"),
        (smooth() * np.nan, "a.mp4", {"fps": 24}, ValueError, "NaN"),
        ((255 * smooth()).astype(np.uint8), "a.mp4", {"fps": 24}, TypeError, "uint8"),
        (smooth()[0], "a.mp4", {"fps": 24}, ValueError, r"\(t, c, h, w\)"),
        (smooth()[:, :2], "a.mp4", {"fps": 24}, ValueError, "1 or 3 channels"),
        ([], "a.mp4", {"fps": 24}, ValueError, "at least one frame"),
        ([np.zeros((1, 4, 4)), np.zeros((1, 4, 6))], "a.mp4", {"fps": 24}, ValueError, "all of shape"),
        (7, "a.mp4", {"fps": 24}, TypeError, "movie must be"),
        (smooth(), "no/a.mp4", {"fps": 24}, ValueError, "in a folder that exists"),
    ],
)
def test_bad_movies_are_not_written(tmp_path, movie, name, options, error, text):
    with pytest.raises(error, match=text):
        save_movie(movie, tmp_path / name, **options)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_keeps_the_old_movie(tmp_path):
    import resource
    import signal

    save_movie(smooth(), tmp_path / "a.mkv", fps=24)
    old = (tmp_path / "a.mkv").read_bytes()
    noise = np.random.default_rng(0).random((20, 3, 64, 64))
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limit[1]))
    try:
        with pytest.raises(OSError, match="nothing was changed"):
            save_movie(noise, tmp_path / "a.mkv", fps=24, lossless=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, handler)
    assert (tmp_path / "a.mkv").read_bytes() == old
    assert [p.name for p in tmp_path.iterdir()] == ["a.mkv"]


@pytest.mark.parametrize(("name", "lossless"), [("a.mp4", False), ("a.mkv", True), ("a.avi", True)])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.9])
def test_truncated_files_are_named(tmp_path, name, lossless, share):
    noise = np.random.default_rng(0).random((30, 3, 32, 32))
    save_movie(noise, tmp_path / name, fps=24, lossless=lossless)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: int(share * len(whole))])
    display = npc.Display.from_px_per_deg(4, resolution_px=(32, 32))
    with pytest.raises(ValueError, match=rf"movie must be .*{name}"):
        load_movie(tmp_path / name, display)[0]


def test_files_that_are_no_movies(tmp_path):
    (tmp_path / "a.mp4").write_text("not a movie")
    with pytest.raises(ValueError, match=r"a whole movie file, got .*a\.mp4"):
        load_movie(tmp_path / "a.mp4", DISPLAY)
    with pytest.raises(FileNotFoundError, match="path must be a movie file that exists"):
        load_movie(tmp_path / "b.mp4", DISPLAY)


def test_a_varying_frame_rate_is_refused(tmp_path):
    codes = np.zeros((5, 16, 24), np.uint8)
    path = coded(tmp_path / "a.mkv", codes, stamps=[0, 40, 80, 200, 240])
    with pytest.raises(ValueError, match=r"of constant frame rate, got .*ms off its place. Re-encode"):
        probe_movie(path)


def test_high_dynamic_range_is_refused(tmp_path):
    path = coded(tmp_path / "a.mp4", np.zeros((2, 16, 24), np.uint8), codec="libx264", color_trc=16)
    with pytest.raises(ValueError, match=r"standard dynamic range .* transfer 16. Tone-map"):
        probe_movie(path)


def test_pixels_that_are_not_square_warn(tmp_path):
    path = coded(tmp_path / "a.mp4", np.zeros((2, 16, 24), np.uint8), codec="libx264", aspect=Fraction(4, 3))
    with pytest.warns(UserWarning, match="pixels of aspect 4/3, taken as square"):
        probe_movie(path)


def test_folders_of_movies(tmp_path):
    for name in ("b", "a"):
        save_movie(smooth(), tmp_path / f"{name}.mp4", fps=24000 / 1001)
    s = StimulusSet.from_folder(tmp_path, DISPLAY)
    assert (s.ids, s.fps) == (["a", "b"], 24000 / 1001)
    assert next(s.batches(2))[1].shape == (2, 9, 3, 16, 24)
    with pytest.raises(ValueError, match="fps must be left out"):
        StimulusSet.from_folder(tmp_path, DISPLAY, fps=24)
    save_movie(smooth(), tmp_path / "c.mp4", fps=25)
    with pytest.raises(ValueError, match=r"all of one frame rate, got {.*'c.mp4'"):
        StimulusSet.from_folder(tmp_path, DISPLAY)


def test_a_movie_that_changed_is_seen(tmp_path):
    save_movie(smooth(), tmp_path / "a.mkv", fps=24, lossless=True)
    s = load_movie(tmp_path / "a.mkv", DISPLAY)
    before = s.fingerprint
    save_movie(smooth()[::-1].copy(), tmp_path / "a.mkv", fps=24, lossless=True)
    assert s.fingerprint != before
