"""Picture files in and out, and load_image: what is refused, what is kept, nothing silently."""

import io
import resource
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms, PngImagePlugin

import neuroperc as npc
from neuroperc.color import linear_to_srgb, srgb_to_linear
from neuroperc.data import StimulusSet, load_image, save_image
from neuroperc.data.readers.pictures import picture_shape, read_picture, write_picture

RNG = np.random.default_rng(0)
DISPLAY = npc.Display.from_px_per_deg(4, resolution_px=(8, 12))


@pytest.fixture(autouse=True)
def same_numbers_in_any_order():
    RNG.bit_generator.state = np.random.default_rng(0).bit_generator.state


def codes(shape, dtype=np.uint8):
    return RNG.integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)


def png(values, colour_type):
    """A 16-bit PNG of any colour type, written by hand (PNG specification, section 11)."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("suffix", [".png", ".tif", ".TIFF"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_code_comes_back(tmp_path, suffix, dtype, channels):
    values = codes((channels, 9, 13), dtype)
    write_picture(values, tmp_path / f"a{suffix}")
    top = np.iinfo(dtype).max
    back = read_picture(tmp_path / f"a{suffix}", encoding="srgb")
    assert back.dtype == np.float32
    assert np.array_equal(np.rint(back.astype(float) * top), values)
    linear = read_picture(tmp_path / f"a{suffix}")
    assert np.abs(linear - srgb_to_linear(values / top)).max() < 1e-7
    assert picture_shape(tmp_path / f"a{suffix}") == (channels, 9, 13)


@pytest.mark.parametrize(("colour_type", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_sixteen_bits_of_every_png_colour_type(tmp_path, colour_type, channels):
    values = codes((5, 7, channels), np.uint16)
    alpha = channels in (2, 4)
    if alpha:
        values[..., -1] = 65535
    (tmp_path / "a.png").write_bytes(png(values, colour_type))
    back = read_picture(tmp_path / "a.png", encoding="srgb")
    colour = values[..., : channels - alpha].transpose(2, 0, 1)
    assert np.array_equal(np.rint(back.astype(float) * 65535), colour)
    assert picture_shape(tmp_path / "a.png") == colour.shape


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_modes_without_alpha(tmp_path, mode):
    image = Image.fromarray(codes((6, 8, 3))).convert(mode)
    image.save(tmp_path / "a.png")
    expected = np.asarray(image.convert("L" if mode in ("1", "L") else "RGB"))
    back = np.rint(read_picture(tmp_path / "a.png", encoding="srgb") * 255)
    assert np.array_equal(back.squeeze(0) if back.shape[0] == 1 else back.transpose(1, 2, 0), expected)


@pytest.mark.parametrize("mode", ["LA", "RGBA", "PA"])
def test_alpha_is_refused_or_composited_in_linear_light(tmp_path, mode):
    image = Image.new("RGBA", (4, 2), (188, 188, 188, 128)).convert("RGBA" if mode == "PA" else mode)
    image = image.convert("P") if mode == "PA" else image
    image.save(tmp_path / "a.png")
    path = tmp_path / "a.png"
    with pytest.raises(ValueError, match=r"a\.png with 100 % transparent pixels. Pass background=0.5"):
        read_picture(path)
    with pytest.raises(ValueError, match="transparent pixels"):
        load_image(path, DISPLAY, size_deg=1)
    alpha, light = 128 / 255, float(srgb_to_linear(np.array(188 / 255)))
    expected = alpha * light + (1 - alpha) * 0.1
    assert np.allclose(read_picture(path, background=0.1), expected, atol=2e-3 if mode == "PA" else 1e-6)
    both = read_picture(path, background=0.1, encoding="srgb")
    assert np.allclose(both, linear_to_srgb(np.array(expected)), atol=2e-3 if mode == "PA" else 1e-6)


def test_opaque_alpha_needs_no_background(tmp_path):
    Image.new("RGBA", (4, 2), (10, 20, 30, 255)).save(tmp_path / "a.png")
    assert np.array_equal(read_picture(tmp_path / "a.png", encoding="srgb")[:, 0, 0] * 255, [10, 20, 30])


def test_a_transparent_palette_colour_counts(tmp_path):
    image = Image.new("P", (4, 2), 1)
    image.putpalette([0, 0, 0, 255, 255, 255])
    image.save(tmp_path / "a.png", transparency=1)
    assert np.allclose(read_picture(tmp_path / "a.png", background=(0.1, 0.2, 0.3))[:, 0, 0], [0.1, 0.2, 0.3])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_the_picture_upright(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(codes((5, 7, 3))).save(tmp_path / "a.png", exif=exif)
    back = read_picture(tmp_path / "a.png", encoding="srgb")
    assert back.shape == picture_shape(tmp_path / "a.png")
    assert back.shape == ((3, 7, 5) if orientation > 4 else (3, 5, 7))


def test_a_profile_that_is_not_srgb_warns(tmp_path):
    image = Image.fromarray(codes((4, 4, 3)))
    profiles = {"srgb": ImageCms.createProfile("sRGB"), "lab": ImageCms.createProfile("LAB")}
    for name, profile in profiles.items():
        image.save(tmp_path / f"{name}.png", icc_profile=ImageCms.ImageCmsProfile(profile).tobytes())
    image.save(tmp_path / "junk.png", icc_profile=b"junk")
    read_picture(tmp_path / "srgb.png")
    with pytest.warns(UserWarning, match=r"lab.png carries the colour profile 'Lab.*read as sRGB. Convert the file"):
        read_picture(tmp_path / "lab.png")
    with pytest.warns(UserWarning, match="an unreadable profile"):
        read_picture(tmp_path / "junk.png")


def test_a_png_of_another_gamma_warns(tmp_path):
    info = PngImagePlugin.PngInfo()
    info.add(b"gAMA", struct.pack(">I", 100000))
    Image.fromarray(codes((4, 4, 3))).save(tmp_path / "a.png", pnginfo=info)
    with pytest.warns(UserWarning, match="gamma 1; they are read as sRGB"):
        read_picture(tmp_path / "a.png")


def test_linear_codes_on_request(tmp_path):
    write_picture(codes((1, 4, 4)), tmp_path / "a.png")
    plain = read_picture(tmp_path / "a.png", encoding="srgb")
    assert np.array_equal(read_picture(tmp_path / "a.png", file_encoding="linear"), plain)


def bad_files(folder):
    whole = io.BytesIO()
    Image.fromarray(codes((64, 64, 3))).save(whole, format="PNG")
    jpeg = io.BytesIO()
    Image.fromarray(codes((64, 64, 3))).save(jpeg, format="JPEG")
    frames = [Image.fromarray(codes((4, 4))) for _ in range(3)]
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.png").write_text("not a picture")
    (folder / "half.png").write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
    (folder / "head.png").write_bytes(whole.getvalue()[:20])
    (folder / "half.jpg").write_bytes(jpeg.getvalue()[: len(jpeg.getvalue()) // 2])
    (folder / "half16.png").write_bytes(png(codes((40, 40, 3), np.uint16), 2)[:4000])
    frames[0].save(folder / "moving.gif", save_all=True, append_images=frames[1:])
    frames[0].save(folder / "pages.tif", save_all=True, append_images=frames[1:])
    Image.new("CMYK", (4, 4), (1, 2, 3, 4)).save(folder / "cmyk.tif")
    Image.fromarray(np.zeros((4, 4), np.float32)).save(folder / "float.tif")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("empty.png", "a whole PNG, JPEG or TIFF file"),
        ("text.png", "a whole PNG, JPEG or TIFF file"),
        ("half.png", "a whole file"),
        ("head.png", "whole"),
        ("half.jpg", "a whole file"),
        ("half16.png", "a whole file"),
        ("moving.gif", "a single still frame, got .* with 3 frames. Read it with load_movie"),
        ("pages.tif", "a single still frame, got .* with 3 frames"),
        ("cmyk.tif", "of mode CMYK. Convert it to grey or RGB"),
        ("float.tif", "of mode F"),
    ],
)
def test_bad_files_are_named(tmp_path, name, text):
    bad_files(tmp_path)
    with pytest.raises(ValueError, match=rf"(?s)picture must be .*{text}") as caught:
        read_picture(tmp_path / name)
    assert name in str(caught.value)


def test_missing_files_and_folders(tmp_path):
    for path in (tmp_path / "none.png", tmp_path):
        with pytest.raises(FileNotFoundError, match="path must be a picture file that exists"):
            load_image(path, DISPLAY)


def test_a_picture_of_unbelievable_size(tmp_path, monkeypatch):
    write_picture(codes((1, 40, 40)), tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(ValueError, match="of a believable size"):
        read_picture(tmp_path / "a.png")


@pytest.mark.parametrize("bits", [8, 16])
def test_save_and_load_agree_within_half_a_code(tmp_path, bits):
    x = torch.rand(3, 8, 12, generator=torch.Generator().manual_seed(0))
    for name, image, encoding in (("a", x, "linear"), ("b", torch.from_numpy(linear_to_srgb(x.numpy())), "srgb")):
        save_image(image, tmp_path / f"{name}.png", bits=bits, encoding=encoding)
        back = load_image(tmp_path / f"{name}.png", DISPLAY).to_encoding("srgb")[0]
        assert float((back - linear_to_srgb(x)).abs().max()) <= 0.5 / (2**bits - 1) + 1e-6
    save_image(x[None].numpy(), tmp_path / "c.jpg")
    smooth = torch.full((1, 8, 12), 0.3)
    save_image(smooth, tmp_path / "d.jpg")
    assert float((load_image(tmp_path / "d.jpg", DISPLAY)[0] - 0.3).abs().max()) < 0.01


@pytest.mark.parametrize(
    ("image", "options", "error", "text"),
    [
        (np.full((1, 4, 4), np.nan), {}, ValueError, "16 NaN"),
        (np.full((1, 4, 4), 1.1), {}, ValueError, r"within \[0, 1\], got 1.1 to 1.1. Clip it"),
        (np.zeros((1, 4, 4), np.uint8), {}, TypeError, "uint8. Divide integer codes"),
        (np.zeros((4, 4)), {}, ValueError, r"\(c, h, w\) with 1 or 3 channels, got shape \(4, 4\)"),
        (np.zeros((2, 1, 4, 4)), {}, ValueError, "one picture at a time"),
        (np.zeros((3, 0, 4)), {}, ValueError, "shape"),
        (np.zeros((1, 4, 4)), {"bits": 12}, ValueError, "bits must be one of 8, 16"),
        (np.zeros((1, 4, 4)), {"encoding": "gamma"}, ValueError, "encoding must be one of"),
    ],
)
def test_bad_images_are_not_written(tmp_path, image, options, error, text):
    with pytest.raises(error, match=text):
        save_image(image, tmp_path / "a.png", **options)
    assert list(tmp_path.iterdir()) == []


def test_bad_targets(tmp_path):
    x = np.zeros((3, 4, 4))
    with pytest.raises(ValueError, match=r"bits must be 8 for JPEG, got 16. Use a .png"):
        save_image(x, tmp_path / "a.jpg", bits=16)
    with pytest.raises(ValueError, match="path's suffix must be one of"):
        save_image(x, tmp_path / "a.webp")
    with pytest.raises(ValueError, match="in a folder that exists"):
        save_image(x, tmp_path / "no" / "a.png")


@pytest.mark.parametrize(("name", "bits"), [("a.png", 8), ("a.tif", 8), ("a.png", 16), ("a.jpg", 8)])
def test_a_full_disk_keeps_the_old_picture(tmp_path, name, bits):
    import signal

    save_image(np.zeros((3, 4, 4)), tmp_path / name)
    old = (tmp_path / name).read_bytes()
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, limit[1]))
    try:
        with pytest.raises(OSError, match="nothing was changed"):
            save_image(RNG.random((3, 90, 90)), tmp_path / name, bits=bits)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, handler)
    assert (tmp_path / name).read_bytes() == old
    assert [p.name for p in tmp_path.iterdir()] == [name]


@pytest.fixture
def street(tmp_path):
    values = codes((3, 20, 30))
    write_picture(values, tmp_path / "street.png")
    return tmp_path / "street.png", read_picture(tmp_path / "street.png")


def test_error_is_the_default_and_names_both_sizes(street):
    with pytest.raises(
        ValueError, match=r"\(8, 12\) px \(h, w\), got \(20, 30\) px. Pass fit='crop', 'pad' or 'resize'"
    ):
        load_image(street[0], DISPLAY)
    with pytest.raises(ValueError, match=r"size_deg=\(5, 7.5\) to show it pixel for pixel"):
        load_image(street[0], DISPLAY)
    with pytest.raises(ValueError, match="fit must be one of"):
        load_image(street[0], DISPLAY, fit="stretch")


def test_a_picture_of_the_displays_size_is_untouched(street):
    s = load_image(street[0], npc.Display.from_px_per_deg(4, resolution_px=(20, 30)))
    assert np.array_equal(s[0].numpy(), street[1])
    assert s.ids == ["street"]
    assert s.table.loc["street", "path"] == str(street[0])
    assert s.table.loc["street", ["height_deg", "width_deg", "x_deg", "y_deg"]].tolist() == [5, 7.5, 0, 0]


def test_crop_takes_the_centre(street):
    assert np.array_equal(load_image(street[0], DISPLAY, fit="crop")[0].numpy(), street[1][:, 6:14, 9:21])
    with pytest.raises(ValueError, match=r"at least .* to be cropped"):
        load_image(street[0], npc.Display.from_px_per_deg(4, resolution_px=(24, 12)), fit="crop")


def test_pad_surrounds_with_linear_light(street):
    larger = npc.Display.from_px_per_deg(4, resolution_px=(26, 33))
    out = load_image(street[0], larger, fit="pad", background=(0.1, 0.2, 0.3))[0].numpy()
    assert np.array_equal(out[:, 3:23, 2:32], street[1])
    assert np.allclose(out[:, 0, 0], [0.1, 0.2, 0.3])
    assert np.allclose(load_image(street[0], larger, fit="pad")[0][:, -1, -1], 0.5)
    with pytest.raises(ValueError, match=r"at most .* to be padded"):
        load_image(street[0], DISPLAY, fit="pad")


def test_resize_covers_without_stretching(tmp_path):
    ramp = np.broadcast_to(np.linspace(0, 1, 60), (1, 20, 60)).copy()
    save_image(ramp, tmp_path / "ramp.png", bits=16)
    out = load_image(tmp_path / "ramp.png", npc.Display.from_px_per_deg(4, resolution_px=(10, 10)), fit="resize")[0]
    step = np.diff(out[0, 5].numpy())
    assert out.shape == (1, 10, 10)
    assert np.allclose(step, 2 / 59, atol=1e-3)  # half the size on both axes: two source columns a pixel
    assert float(out.mean()) == pytest.approx(0.5, abs=1e-3)


def test_a_placed_picture_keeps_its_pixels(street):
    s = load_image(street[0], DISPLAY, size_deg=(1, 1.5), center_deg=(0.5, -0.25))
    assert np.array_equal(s[0].numpy(), street[1])
    assert s.table.iloc[0][["width_deg", "height_deg", "x_deg", "y_deg"]].tolist() == [1.5, 1, 0.5, -0.25]
    assert s.on_display(0, 0.5).shape == (3, 8, 12)
    assert load_image(street[0], DISPLAY, size_deg=1.5)[0].shape == (3, 20, 30)


@pytest.mark.parametrize(
    ("fit", "shape"), [("crop", (3, 20, 20)), ("pad", (3, 30, 30)), ("resize", (3, 8, 8))], ids=lambda v: str(v)
)
def test_a_place_of_another_aspect(street, fit, shape):
    with pytest.raises(ValueError, match=r"same aspect as size_deg \(2.0, 2.0\) \(height, width\), got \(20, 30\) px"):
        load_image(street[0], DISPLAY, size_deg=(2, 2))
    assert load_image(street[0], DISPLAY, size_deg=(2, 2), fit=fit)[0].shape == shape


def test_channels_on_request(street, tmp_path):
    full = npc.Display.from_px_per_deg(4, resolution_px=(20, 30))
    grey = load_image(street[0], full, channels=1)[0]
    assert np.allclose(grey[0], np.tensordot([0.2126, 0.7152, 0.0722], street[1], 1), atol=1e-6)
    save_image(grey, tmp_path / "grey.png", bits=16)
    assert load_image(tmp_path / "grey.png", full)[0].shape == (1, 20, 30)
    three = load_image(tmp_path / "grey.png", full, channels=3)[0]
    assert three.shape == (3, 20, 30)
    assert torch.equal(three[0], three[2])
    with pytest.raises(ValueError, match="channels must be one of None, 1, 3, got 2"):
        load_image(street[0], full, channels=2)


def test_folders(tmp_path):
    for name in ("b/2.png", "b/10.png", "a/x.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        save_image(RNG.random((3, 8, 12)), tmp_path / name)
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / ".hidden.png").write_bytes(b"x")
    s = StimulusSet.from_folder(tmp_path, DISPLAY)
    assert s.ids == ["a/x", "b/10", "b/2"]
    assert s.table["path"].tolist() == ["a/x.jpg", "b/10.png", "b/2.png"]
    assert np.array_equal(s["b/2"].numpy(), read_picture(tmp_path / "b" / "2.png"))
    import pandas as pd

    labels = pd.DataFrame({"label": [1, 2, 3]}, index=["b/2", "a/x", "b/10"])
    assert StimulusSet.from_folder(tmp_path, DISPLAY, table=labels).table["label"].tolist() == [2, 3, 1]
    with pytest.raises(ValueError, match=r"no row for \['b/2'\]"):
        StimulusSet.from_folder(tmp_path, DISPLAY, table=labels.iloc[1:])
    small = npc.Display.from_px_per_deg(4, resolution_px=(4, 4))
    with pytest.raises(ValueError, match=r"x\.jpg must be of the display's size \(4, 4\)"):
        StimulusSet.from_folder(tmp_path, small)
    assert StimulusSet.from_folder(tmp_path, small, fit="crop", channels=1).shapes == [(1, 4, 4)] * 3
    movie = StimulusSet.from_folder(tmp_path, DISPLAY, fps=24)
    assert (movie.ids, movie.shapes) == (["a", "b"], [(1, 3, 8, 12), (2, 3, 8, 12)])
    assert np.array_equal(movie["b"][0].numpy(), read_picture(tmp_path / "b" / "2.png"))  # 2 before 10


@pytest.mark.parametrize("encoding", ["linear", "srgb"])
def test_files_and_the_same_values_in_memory_have_one_fingerprint(tmp_path, encoding):
    for name in "ab":
        save_image(RNG.random((3, 8, 12)), tmp_path / f"{name}.png")
    s = StimulusSet.from_folder(tmp_path, DISPLAY, encoding=encoding)
    held = StimulusSet.from_arrays(list(s), display=DISPLAY, table=s.table, encoding=encoding)
    assert held.fingerprint == s.fingerprint
    assert held == s


def test_bad_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match="folder must be a folder that exists"):
        StimulusSet.from_folder(tmp_path / "none", DISPLAY)
    with pytest.raises(ValueError, match=r"one with picture or movie files in it, got .* with 0 other files"):
        StimulusSet.from_folder(tmp_path, DISPLAY)
    save_image(RNG.random((3, 8, 12)), tmp_path / "a.png")
    save_image(RNG.random((3, 8, 12)), tmp_path / "a.jpg")
    with pytest.raises(ValueError, match=r"unique, got 'a' for a\.jpg and a\.png"):
        StimulusSet.from_folder(tmp_path, DISPLAY)
    (tmp_path / "a.jpg").unlink()
    (tmp_path / "m.mp4").write_bytes(b"")
    with pytest.raises(ValueError, match=r"of pictures or of movies, got .* 1 pictures and 1 movies"):
        StimulusSet.from_folder(tmp_path, DISPLAY)
    (tmp_path / "m.mp4").unlink()
    save_image(RNG.random((3, 4, 4)), tmp_path / "b.png")
    with pytest.raises(ValueError, match="frames must be all of one size"):
        StimulusSet.from_folder(tmp_path, DISPLAY, fps=24)


def test_a_truncated_picture_in_a_folder_is_named_when_it_is_read(tmp_path):
    save_image(RNG.random((3, 8, 12)), tmp_path / "a.png")
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "b.png").write_bytes(whole[:-60])
    s = StimulusSet.from_folder(tmp_path, DISPLAY)
    assert s[0].shape == (3, 8, 12)
    with pytest.raises(ValueError, match=r"a whole file, got .*b\.png"):
        s[1]
    with pytest.raises(ValueError, match=r"b\.png"):
        list(s.batches(2))


def test_a_file_that_changed_without_growing_is_seen(tmp_path):
    Image.new("RGB", (12, 8), (10, 0, 0)).save(tmp_path / "a.bmp")
    s = StimulusSet.from_folder(tmp_path, DISPLAY)
    before = s.fingerprint
    Image.new("RGB", (12, 8), (20, 0, 0)).save(tmp_path / "a.bmp")
    assert s.fingerprint != before


def test_a_file_that_changed_is_seen(tmp_path):
    save_image(np.zeros((3, 8, 12)), tmp_path / "a.png")
    s = StimulusSet.from_folder(tmp_path, DISPLAY)
    before = s.fingerprint
    save_image(np.full((3, 8, 12), 0.5), tmp_path / "a.png")
    assert s.fingerprint != before
    save_image(np.zeros((3, 4, 4)), tmp_path / "a.png")
    with pytest.raises(ValueError, match="as when the set was made"):
        s[0]
