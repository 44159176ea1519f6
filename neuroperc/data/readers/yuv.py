"""Between decoded video frames and RGB code values, in our own arithmetic.

The matrix and the range are those that the file names; chroma is placed as H.264 and MPEG-2 place it (co-sited with
the left of two luma columns, halfway between two rows) and interpolated linearly.

References
----------
ITU-R BT.601-7, BT.709-6, BT.2020-2 (matrices, ranges); ITU-T H.264 Annex E (chroma sample location type 0).
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from ..._check import fail

Matrix = Literal["auto", "bt601", "bt709"]

_KR_KB = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722), "smpte240m": (0.212, 0.087)}
# ITU-T H.273 codes of matrix coefficients and transfer characteristics.
_MATRICES = {1: "bt709", 5: "bt601", 6: "bt601", 7: "smpte240m"}
_UNKNOWN_MATRIX, _LIMITED, _FULL = 2, 1, 2
_LINEAR, _PQ, _HLG, _WIDE = 8, 16, 18, (9, 10)


def is_linear(path: str, matrix: int, transfer: int) -> bool:
    """Whether the codes are linear light; refuse high dynamic range, which has no place in [0, 1]."""
    if transfer in (_PQ, _HLG) or matrix in _WIDE:
        fail(
            "movie", "standard dynamic range in the Rec. 709 gamut", f"{path} of matrix {matrix}, transfer {transfer}",
            "Tone-map it first, for example with ffmpeg's zscale and tonemap filters.",
        )  # fmt: skip
    return transfer == _LINEAR


def frame_to_codes(frame: Any, matrix: Matrix = "auto") -> tuple[np.ndarray, np.ndarray | None]:
    """Return RGB or grey code values (c, h, w) in [0, 1], float32, and alpha (h, w) or None."""
    layout = frame.format
    if layout.is_rgb or layout.has_palette:
        return _from_rgb(frame)
    if not layout.is_planar and len(layout.components) > 1:
        # Packed and half-packed layouts (yuyv422, nv12) hold the same samples; unpack them without arithmetic.
        frame = frame.reformat(format=_UNPACKED.get(layout.name, "yuv444p16le"))
        layout = frame.format
    bits = layout.components[0].bits
    limited = frame.color_range == _LIMITED or (frame.color_range != _FULL and not _full_by_name(layout.name))
    planes = [_plane(plane, bits) for plane in frame.planes]
    luma = _levels(planes[0], bits, limited, chroma=False)
    if len(planes) < 3:
        return np.clip(luma, 0, 1)[None], planes[1] / np.float32(2**bits - 1) if len(planes) == 2 else None
    cb, cr = (_upsampled(_levels(p, bits, limited, chroma=True), luma.shape) for p in planes[1:3])
    alpha = planes[3] / np.float32(2**bits - 1) if len(planes) == 4 else None
    return _to_rgb(luma, cb, cr, *_coefficients(frame, matrix)), alpha


_UNPACKED = {"nv12": "yuv420p", "nv21": "yuv420p", "yuyv422": "yuv422p", "uyvy422": "yuv422p", "p010le": "yuv420p10le"}


def codes_to_yuv420(codes: np.ndarray) -> np.ndarray:
    """Return BT.709 limited-range 8-bit planes, stacked as PyAV takes them, of RGB or grey codes (c, h, w)."""
    kr, kb = _KR_KB["bt709"]
    red, green, blue = codes.astype(np.float64) if len(codes) == 3 else np.repeat(codes.astype(np.float64), 3, 0)
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    chroma = [_downsampled((part - luma) / (2 * (1 - k))) for part, k in ((blue, kb), (red, kr))]
    planes = [16 + 219 * luma, *(128 + 224 * part for part in chroma)]
    return np.concatenate([np.rint(plane).astype(np.uint8).reshape(-1, luma.shape[1]) for plane in planes])


def _from_rgb(frame: Any) -> tuple[np.ndarray, np.ndarray | None]:
    layout = frame.format
    deep = max(component.bits for component in layout.components) > 8
    has_alpha = layout.has_palette or (len(layout.components) == 4 and layout.name not in ("bgr0", "rgb0"))
    name = ("rgba64le" if deep else "rgba") if has_alpha else ("rgb48le" if deep else "rgb24")
    values = frame.reformat(format=name).to_ndarray().transpose(2, 0, 1) / np.float32(65535 if deep else 255)
    return values[:3], values[3] if has_alpha else None


def _plane(plane: Any, bits: int) -> np.ndarray:
    dtype = np.dtype(np.uint8 if bits <= 8 else np.uint16)
    rows = np.frombuffer(plane, dtype).reshape(plane.height, plane.line_size // dtype.itemsize)
    return rows[:, : plane.width]


def _levels(plane: np.ndarray, bits: int, limited: bool, *, chroma: bool) -> np.ndarray:
    """Luma in [0, 1], chroma in [-0.5, 0.5]."""
    unit = 2.0 ** (bits - 8)
    zero = 128 * unit if chroma else 16 * unit * limited
    top = (224 if chroma else 219) * unit if limited else 2**bits - 1
    return (plane.astype(np.float32) - np.float32(zero)) / np.float32(top)


def _full_by_name(name: str) -> bool:
    return name.startswith(("yuvj", "gray", "ya"))


def _coefficients(frame: Any, matrix: Matrix) -> tuple[float, float]:
    if matrix != "auto":
        return _KR_KB[matrix]
    named = int(frame.colorspace)
    if named == _UNKNOWN_MATRIX or named not in _MATRICES:
        return _KR_KB["bt709" if frame.height >= 720 or frame.width >= 1280 else "bt601"]
    return _KR_KB[_MATRICES[named]]


def _to_rgb(luma: np.ndarray, cb: np.ndarray, cr: np.ndarray, kr: float, kb: float) -> np.ndarray:
    red, blue = luma + np.float32(2 * (1 - kr)) * cr, luma + np.float32(2 * (1 - kb)) * cb
    green = (luma - np.float32(kr) * red - np.float32(kb) * blue) / np.float32(1 - kr - kb)
    return np.clip(np.stack((red, green, blue)), 0, 1)


def _upsampled(plane: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if plane.shape[0] < shape[0]:  # rows: chroma j lies at luma 2j + 0.5
        above, below = np.concatenate((plane[:1], plane[:-1])), np.concatenate((plane[1:], plane[-1:]))
        plane = np.stack((0.75 * plane + 0.25 * above, 0.75 * plane + 0.25 * below), 1).reshape(-1, plane.shape[1])
        plane = plane[: shape[0]]
    if plane.shape[1] < shape[1]:  # columns: chroma j lies at luma 2j
        right = np.concatenate((plane[:, 1:], plane[:, -1:]), 1)
        plane = np.stack((plane, (plane + right) / 2), 2).reshape(len(plane), -1)[:, : shape[1]]
    return plane


def _downsampled(plane: np.ndarray) -> np.ndarray:
    rows = (plane[0::2] + plane[1::2]) / 2
    left = np.concatenate((rows[:, :1], rows[:, 1:-1:2]), 1)
    return np.asarray((left + 2 * rows[:, 0::2] + rows[:, 1::2]) / 4)
