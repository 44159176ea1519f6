"""Picture files: PNG, JPEG and TIFF, 8 and 16 bits, grey or colour; the only module that imports Pillow.

Codes are read as sRGB (or as linear light when the caller says so) and decoded through a table, so that a picture has
the same numbers wherever it is read. Nothing is resized, and nothing is made opaque without being asked.
"""

from __future__ import annotations

import io
import os
import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageCms, UnidentifiedImageError

from ..._check import atomic_path, check, fail, one_of
from .codes import ENCODINGS, Encoding, composite, from_codes, to_codes

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp")

_CHANNELS = {"1": 1, "L": 1, "LA": 1, "La": 1, "I;16": 1, "I;16B": 1, "I;16L": 1, "P": 3, "PA": 3, "RGB": 3, "RGBA": 3}
_CHANNELS |= {"RGBX": 3, "RGBa": 3, "YCbCr": 3}
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error)
# EXIF orientation -> (transpose, flip rows, flip columns) that put the picture upright (Exif 2.32, tag 0x0112).
_UPRIGHT = {
    1: (False, False, False), 2: (False, False, True), 3: (False, True, True), 4: (False, True, False),
    5: (True, False, False), 6: (True, False, True), 7: (True, True, True), 8: (True, True, False),
}  # fmt: skip


def read_picture(
    path: str | os.PathLike[str],
    *,
    encoding: Encoding = "linear",
    file_encoding: Encoding = "srgb",
    background: float | Sequence[float] | None = None,
) -> np.ndarray:
    """Read one picture file as a float32 array (c, h, w) in [0, 1], upright, with 1 (grey) or 3 channels.

    Parameters
    ----------
    path
        PNG, JPEG, TIFF and whatever else Pillow reads; 8 or 16 bits a channel, grey, colour or palette.
    encoding
        What comes back: "linear" light or "srgb" code values.
    file_encoding
        What the codes in the file mean.
    background
        Linear light (one number or one a channel) behind transparent pixels; None refuses transparent pictures.

    Raises
    ------
    FileNotFoundError, ValueError
        When the file is missing, unreadable, truncated, animated, transparent without a background, or in a colour
        space other than grey and RGB.

    Warns
    -----
    UserWarning
        When the file carries a colour profile that is not sRGB; the codes are read as sRGB all the same.

    References
    ----------
    IEC 61966-2-1 (sRGB).
    """
    one_of("encoding", encoding, ENCODINGS)
    one_of("file_encoding", file_encoding, ENCODINGS)
    with _opened(path) as image:
        codes, alpha = _codes(image, path)
        orientation = _orientation(image)
    light = from_codes(codes, encoding, file_encoding)
    if alpha is not None:
        light = composite(light, alpha, background, encoding, str(path))
    return np.ascontiguousarray(_upright(light, orientation))


def picture_shape(path: str | os.PathLike[str]) -> tuple[int, int, int]:
    """Return (channels, height, width) of the upright picture from the file's header alone."""
    with _opened(path) as image:
        width, height = image.size
        if _UPRIGHT[_orientation(image)][0]:
            width, height = height, width
        return _n_channels(image, path), height, width


def write_picture(codes: np.ndarray, path: str | os.PathLike[str]) -> None:
    """Write integer codes (c, h, w), uint8 or uint16, with 1 or 3 channels, in the format of the suffix (atomic)."""
    suffix = Path(path).suffix.lower()
    one_of("path's suffix", suffix, (".png", ".jpg", ".jpeg", ".tif", ".tiff"))
    deep = codes.dtype == np.uint16
    if deep and suffix in (".jpg", ".jpeg"):
        fail("bits", "8 for JPEG", 16, "Use a .png or .tif file for 16 bits.")
    with atomic_path(path) as temporary:
        if deep and len(codes) == 3:
            from .deep import write_deep_colour

            write_deep_colour(np.ascontiguousarray(codes.transpose(1, 2, 0)), temporary)
        else:
            # Encoded in memory first: Pillow's JPEG writer does not notice that a disk is full.
            stream = io.BytesIO()
            _pillow(codes).save(stream, **_save_options(suffix))
            temporary.write_bytes(stream.getvalue())


def save_image(image: Any, path: str | os.PathLike[str], *, encoding: Encoding = "linear", bits: int = 8) -> None:
    """Write one picture to a PNG, TIFF or JPEG file, as sRGB codes.

    Parameters
    ----------
    image
        Array or tensor (c, h, w) or (1, c, h, w) with 1 or 3 channels, in [0, 1].
    path
        Where to; the suffix chooses the format. The file appears whole or not at all.
    encoding
        What `image` holds: "linear" light, or "srgb" code values.
    bits
        8 or 16 (PNG and TIFF).

    Raises
    ------
    ValueError
        For NaN, values outside [0, 1], a wrong shape, or 16 bits in a JPEG.
    OSError
        When the disk is full or the folder cannot be written; an old file is then untouched.

    Examples
    --------
    >>> import tempfile, torch
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_image(torch.full((3, 4, 6), 0.5), f"{folder}/grey.png", bits=16)
    ...     round(float(read_picture(f"{folder}/grey.png").mean()), 4)
    0.5
    """
    one_of("encoding", encoding, ENCODINGS)
    values = image.detach().cpu().numpy() if hasattr(image, "detach") else np.asarray(image)
    if values.ndim == 4 and len(values) == 1:
        values = values[0]
    if values.ndim != 3 or values.shape[0] not in (1, 3) or 0 in values.shape:
        fail("image", "of shape (c, h, w) with 1 or 3 channels", f"shape {values.shape}", "Give one picture at a time.")
    write_picture(to_codes(values, encoding, bits), path)


def png_bytes(values: np.ndarray, encoding: Encoding) -> bytes:
    """Return an 8-bit PNG of a (c, h, w) picture, for a web page."""
    stream = io.BytesIO()
    _pillow(to_codes(values, encoding)).save(stream, format="PNG")
    return stream.getvalue()


def jpeg_codes(codes: np.ndarray, quality: int, subsampling: int = 0) -> np.ndarray:
    """Return (c, h, w) uint8 codes as they come back from a JPEG file of this quality, 1 to 95.

    `subsampling` is Pillow's: 0 keeps all chroma (4:4:4), 2 halves it both ways (4:2:0).
    """
    stream = io.BytesIO()
    _pillow(codes).save(stream, format="JPEG", quality=quality, subsampling=subsampling)
    array = np.asarray(Image.open(stream))
    return array[None] if array.ndim == 2 else np.ascontiguousarray(array.transpose(2, 0, 1))


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[Image.Image]:
    """Open a picture; every way in which a file can be bad becomes one message that names it."""
    if not Path(path).is_file():
        fail("path", "a picture file that exists", str(path), "Check the folder and the spelling.", FileNotFoundError)
    try:
        image = Image.open(path)
    except Image.DecompressionBombError as error:
        fail("picture", "of a believable size", f"{path} ({error})", "Crop it, or raise PIL.Image.MAX_IMAGE_PIXELS.")
    except (*_BROKEN, UnidentifiedImageError) as error:
        fail("picture", "a whole PNG, JPEG or TIFF file", f"{path} ({error})", "It is damaged or of another format.")
    with image:
        n_frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
        if n_frames > 1:
            fail("picture", "a single still frame", f"{path} with {n_frames} frames", "Read it with load_movie.")
        yield image


def _mode(image: Image.Image, path: object) -> str:
    mode = image.mode
    if mode == "I" and image.format == "PNG":
        return "I;16"  # older Pillow widens 16-bit grey PNG to 32 bits
    remedy = "Convert it to grey or RGB, or pass the array to StimulusSet.from_arrays."
    check(mode in _CHANNELS, "picture", "grey, palette or RGB with 8 or 16 bits", f"{path} of mode {mode}", remedy)
    return mode


def _n_channels(image: Image.Image, path: str | os.PathLike[str]) -> int:
    if image.format == "PNG":
        # Pillow calls 16-bit grey with alpha "RGBA"; the header's colour type does not lie (0 and 4 are grey).
        return 1 if _png_header(path)[1] in (0, 4) else 3
    return _CHANNELS[_mode(image, path)]


def _png_header(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Bit depth and colour type."""
    with Path(path).open("rb") as stream:
        start = stream.read(26)  # signature 8, chunk length and name 8, width and height 8, then the two
    return start[24], start[25]


def _codes(image: Image.Image, path: str | os.PathLike[str]) -> tuple[np.ndarray, np.ndarray | None]:
    """Decode to integer codes (c, h, w), and alpha (h, w) in [0, 1] or None."""
    mode = _mode(image, path)
    _warn_of_profile(image, path)
    try:
        if _bits(image, path) == 16 and mode not in ("I;16", "I;16B", "I;16L"):
            from .deep import read_deep_colour  # Pillow keeps only the high byte of 16-bit colour

            codes = read_deep_colour(path).transpose(2, 0, 1)
        else:
            image.load()
            codes = _eight_or_grey(image, mode)
    except _BROKEN as error:
        fail("picture", "a whole file", f"{path} ({error})", "It is truncated or damaged; fetch it again.")
    if len(codes) in (2, 4):
        return codes[:-1], codes[-1] / np.iinfo(codes.dtype).max
    return codes, None


def _eight_or_grey(image: Image.Image, mode: str) -> np.ndarray:
    transparent = "transparency" in image.info or mode in ("PA", "RGBa", "La")
    if mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)[None]
    if mode == "1":
        image = image.convert("L")
    elif transparent:
        image = image.convert("LA" if _CHANNELS[mode] == 1 else "RGBA")
    elif mode in ("P", "YCbCr", "RGBX"):
        image = image.convert("RGB")
    array = np.asarray(image)
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)


def _bits(image: Image.Image, path: str | os.PathLike[str]) -> int:
    """Bits a channel in the file; Pillow's mode does not tell for 16-bit colour."""
    if image.format == "TIFF":
        return int(max(np.ravel(getattr(image, "tag_v2", {}).get(258, 8))))
    return _png_header(path)[0] if image.format == "PNG" else 8


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except _BROKEN:
        return 1
    return value if value in _UPRIGHT else 1


def _upright(values: np.ndarray, orientation: int) -> np.ndarray:
    transpose, rows, columns = _UPRIGHT[orientation]
    if transpose:
        values = values.swapaxes(-1, -2)
    return values[..., :: -1 if rows else 1, :: -1 if columns else 1]


def _warn_of_profile(image: Image.Image, path: object) -> None:
    profile = image.info.get("icc_profile")
    if not profile:
        gamma = image.info.get("gamma", 1 / 2.2)
        if "srgb" not in image.info and abs(gamma - 1 / 2.2) > 0.01:
            warnings.warn(
                f"{path} says that its codes have gamma {1 / gamma:.3g}; they are read as sRGB. Convert the file, or "
                "pass file_encoding='linear' for gamma 1.",
                stacklevel=2,
            )
        return
    try:
        name = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile))).strip()
    except (ImageCms.PyCMSError, OSError):
        name = "an unreadable profile"
    if "srgb" in name.lower() or "61966-2" in name:
        return
    warnings.warn(
        f"{path} carries the colour profile {name!r}; its codes are read as sRGB. Convert the file to sRGB to keep "
        "its colours.",
        stacklevel=2,
    )


def _pillow(codes: np.ndarray) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(codes[0] if len(codes) == 1 else codes.transpose(1, 2, 0)))


def _save_options(suffix: str) -> dict[str, Any]:
    if suffix in (".jpg", ".jpeg"):
        return {"format": "JPEG", "quality": 95, "subsampling": 0}
    return {"format": "PNG"} if suffix == ".png" else {"format": "TIFF", "compression": "tiff_lzw"}
