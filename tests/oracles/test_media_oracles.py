"""Peers decode the same files: Pillow, scikit-image, OpenCV and FFmpeg's own conversion."""

from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
import skimage.io
import skimage.transform
import torch
from av.video.reformatter import Interpolation
from PIL import Image, ImageOps

import neuroperc as npc
from neuroperc.data import SAMPLES, load_image, load_movie, sample_image, save_image, save_movie
from neuroperc.data._placing import resample
from neuroperc.data.readers.movies import probe_movie, read_frames
from neuroperc.data.readers.pictures import read_picture, write_picture

RNG = np.random.default_rng(0)
EXACT = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
EXACT |= Interpolation.FULL_CHR_H_INP | Interpolation.BITEXACT


@pytest.fixture(autouse=True)
def same_numbers_in_any_order():
    RNG.bit_generator.state = np.random.default_rng(0).bit_generator.state


def as_codes(values, top=255):
    return np.rint(values.astype(float) * top).astype(int).transpose(1, 2, 0)


@pytest.mark.parametrize("name", SAMPLES)
def test_photographs_decode_as_pillow_and_skimage_do(name):
    path = SAMPLES[name].path
    ours = as_codes(read_picture(path, encoding="srgb"))
    with Image.open(path) as image:
        assert np.array_equal(ours, np.asarray(image))
    assert np.array_equal(ours, skimage.io.imread(path))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bit_files_are_what_opencv_reads_and_writes(tmp_path, suffix, channels):
    codes = RNG.integers(0, 65536, (9, 11, channels)).astype(np.uint16)
    write_picture(codes.transpose(2, 0, 1), tmp_path / f"ours{suffix}")
    theirs = cv2.imread(str(tmp_path / f"ours{suffix}"), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(theirs.reshape(codes.shape)[..., ::-1], codes)
    cv2.imwrite(str(tmp_path / f"theirs{suffix}"), codes[..., ::-1])
    assert np.array_equal(as_codes(read_picture(tmp_path / f"theirs{suffix}", encoding="srgb"), 65535), codes)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_pillows(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(RNG.integers(0, 256, (5, 7, 3)).astype(np.uint8)).save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as image:
        upright = np.asarray(ImageOps.exif_transpose(image))
    assert np.array_equal(as_codes(read_picture(tmp_path / "a.png", encoding="srgb")), upright)


def test_half_transparent_colours_are_blended_in_linear_light_unlike_codes(tmp_path):
    codes = RNG.integers(0, 256, (6, 7, 4)).astype(np.uint8)
    Image.fromarray(codes).save(tmp_path / "a.png")
    rgb, alpha = codes[..., :3] / 255, codes[..., 3:] / 255
    light = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    expected = alpha * light + (1 - alpha) * 0.5
    assert np.abs(read_picture(tmp_path / "a.png", background=0.5).transpose(1, 2, 0) - expected).max() < 1e-6


@pytest.mark.parametrize("target", [(20, 30), (33, 50), (100, 150), (80, 120), (7, 11)])
def test_resampling_is_the_antialiased_bilinear_of_torch_and_pillow(target):
    x = torch.from_numpy(RNG.random((1, 2, 60, 90)))
    ours = resample(resample(x, -2, target[0], 0.0, 60 / target[0]), -1, target[1], 0.0, 90 / target[1])
    theirs = torch.nn.functional.interpolate(x, size=target, mode="bilinear", antialias=True)
    assert torch.allclose(ours, theirs, atol=1e-12)
    pillow = Image.fromarray(x[0, 0].numpy().astype(np.float32)).resize(target[::-1], Image.Resampling.BILINEAR)
    assert np.abs(ours[0, 0].numpy() - np.asarray(pillow)).max() < 1e-5


def test_fit_resize_is_a_cover_crop(tmp_path):
    display = npc.Display.from_px_per_deg(8, resolution_px=(40, 40))
    x = torch.from_numpy(RNG.random((1, 60, 90)).astype(np.float32))
    save_image(x, tmp_path / "a.png", bits=16)
    linear = torch.from_numpy(read_picture(tmp_path / "a.png"))
    theirs = torch.nn.functional.interpolate(linear[None], size=(40, 60), mode="bilinear", antialias=True)[0]
    assert torch.allclose(load_image(tmp_path / "a.png", display, fit="resize")[0], theirs[..., 10:50], atol=1e-6)


def test_drawing_agrees_with_skimages_warp_where_it_enlarges():
    display = npc.Display.from_px_per_deg(10, resolution_px=(50, 70))
    s = npc.data.StimulusSet.from_arrays(
        RNG.random((1, 1, 12, 16)), display=display, size_deg=(3.0, 4.0), center_deg=(0.33, -0.21)
    )
    columns, rows = np.meshgrid(np.arange(70.0), np.arange(50.0))
    source = s.picture_px(0, display.to_deg(np.stack((columns, rows), -1)))
    theirs = skimage.transform.warp(s[0][0].numpy(), np.stack((source[..., 1], source[..., 0])), order=1, mode="edge")
    inside = (source > -0.5 + 0.21).all(-1) & (source[..., 0] < 15.29) & (source[..., 1] < 11.29)
    assert inside.sum() > 1000
    assert np.abs(s.on_display(0, 0.5)[0].numpy() - theirs)[inside].max() < 1e-9


@pytest.mark.parametrize(("pixels", "matrix"), [("yuv420p", 1), ("yuv422p", 5), ("yuv444p", 6), ("yuv420p10le", 1)])
@pytest.mark.parametrize("colour_range", [1, 2])
def test_movies_decode_as_ffmpegs_accurate_conversion(tmp_path, pixels, matrix, colour_range):
    smooth = cv2.GaussianBlur(RNG.random((48, 64, 3)), (0, 0), 4)
    smooth = (smooth - smooth.min()) / np.ptp(smooth)
    frame = av.VideoFrame.from_ndarray((255 * smooth).astype(np.uint8), format="rgb24")
    path = str(tmp_path / "a.mp4")
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=25)  # H.264 says where chroma lies; FFV1 leaves it open
        stream.height, stream.width, stream.pix_fmt, stream.options = 48, 64, pixels, {"qp": "0"}
        stream.codec_context.colorspace, stream.codec_context.color_range = matrix, colour_range
        for k in range(2):
            coded = frame.reformat(format=pixels, dst_colorspace=matrix, dst_color_range=colour_range)
            coded.pts, coded.time_base = k, Fraction(1, 25)
            container.mux(stream.encode(coded))
        container.mux(stream.encode(None))
    ours = next(read_frames(probe_movie(path), encoding="srgb")) * 255
    with av.open(path) as container:
        decoded = next(container.decode(video=0))
    assert (int(decoded.colorspace), int(decoded.color_range)) == (matrix, colour_range)
    theirs = decoded.reformat(
        format="rgb24", src_colorspace=matrix, src_color_range=colour_range, dst_color_range=2, interpolation=EXACT
    ).to_ndarray()
    error = np.abs(ours.transpose(1, 2, 0) - theirs)
    ten_bits = pixels.endswith("10le")  # full range: FFmpeg drops two bits, 1023 becomes 255.75 and not 255
    assert error.max() < (2.1 if ten_bits else 1.6)
    assert error.mean() < (0.6 if ten_bits else 0.4)  # rounding to 8 bits alone makes 0.25


def test_opencv_sees_the_frames_that_we_write(tmp_path):
    display = npc.Display.from_px_per_deg(8, resolution_px=(96, 128))
    picture = sample_image("china", display)
    movie = picture[0][None].repeat(5, 1, 1, 1)
    save_movie(movie, tmp_path / "a.mkv", fps=24000 / 1001, lossless=True)
    capture = cv2.VideoCapture(str(tmp_path / "a.mkv"))
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(24000 / 1001, abs=1e-9)
    frames = []
    while (read := capture.read())[0]:
        frames.append(read[1][..., ::-1])
    capture.release()
    codes = np.rint(255 * picture.to_encoding("srgb")[0].numpy()).transpose(1, 2, 0)
    assert len(frames) == 5
    assert np.array_equal(frames[3], codes)
    assert np.array_equal(as_codes(load_movie(tmp_path / "a.mkv", display).to_encoding("srgb")[0][3].numpy()), codes)


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_rotated_movies_stand_as_opencv_turns_them(tmp_path, rotation):
    codes = RNG.integers(0, 256, (16, 24, 3)).astype(np.uint8)
    path = str(tmp_path / "a.mov")
    with av.open(path, "w") as container:
        stream = container.add_stream("png", rate=25)
        stream.height, stream.width, stream.pix_fmt = 16, 24, "rgb24"
        stream.set_display_rotation(rotation)
        for k in range(3):
            frame = av.VideoFrame.from_ndarray(codes, format="rgb24")
            frame.pts, frame.time_base = k, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    capture = cv2.VideoCapture(path)
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
    theirs = capture.read()[1][..., ::-1]
    capture.release()
    ours = as_codes(next(read_frames(probe_movie(path), encoding="srgb")))
    assert np.array_equal(ours, theirs)
