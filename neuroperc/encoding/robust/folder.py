"""Labelled pictures in a folder for each class, as ImageNet is laid out."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset

from ..._check import check, integer, one_of
from ...data.readers.pictures import PICTURE_SUFFIXES, read_picture


class PictureFolder(Dataset[tuple[Tensor, int]]):
    """A dataset of ``folder/<class>/*.jpg``: square sRGB codes and the number of the class, in alphabetic order.

    Parameters
    ----------
    folder
        Holds a folder for each class.
    crop
        ``"random"``: 8 to 100 % of the area, sides 3:4 to 4:3, resized, drawn anew on each access (from torch's
        generator, which `training.fit` seeds step by step). ``"center"``: shorter side to `resize_px`, central square.
    size_px
        Side of the square.
    resize_px
        Shorter side before the central crop.

    Raises
    ------
    ValueError
        When the folder is missing, has fewer than two classes, or a class has no picture.

    References
    ----------
    .. [1] C Szegedy et al. (2015). Going deeper with convolutions. arXiv:1409.4842, section 6: the random crops.

    Examples
    --------
    >>> import tempfile, pathlib, torch
    >>> from neuroperc.data import save_image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("cat", "dog"):
    ...         pathlib.Path(folder, name).mkdir()
    ...         save_image(torch.rand(3, 20, 30), f"{folder}/{name}/1.png")
    ...     data = PictureFolder(folder, crop="center", size_px=16, resize_px=18)
    ...     len(data), data.classes, data[1][0].shape, data[1][1]
    (2, ['cat', 'dog'], torch.Size([3, 16, 16]), 1)
    """

    def __init__(
        self, folder: str | os.PathLike[str], *, crop: str = "random", size_px: int = 224, resize_px: int = 256
    ) -> None:
        root = Path(folder)
        check(root.is_dir(), "folder", "an existing folder with a folder for each class", str(root),
              "Give the one that holds n01440764 and so on.")  # fmt: skip
        self.crop = one_of("crop", crop, ("random", "center"))
        self.size_px, self.resize_px = integer("size_px", size_px), integer("resize_px", resize_px)
        check(resize_px >= size_px, "resize_px", f"at least size_px = {size_px}", resize_px)
        self.classes = sorted(path.name for path in root.iterdir() if path.is_dir())
        check(len(self.classes) > 1, "folder", "one with two classes or more", f"{root} with {self.classes}")
        self.items: list[tuple[Path, int]] = []
        for k, name in enumerate(self.classes):
            found = sorted(p for p in (root / name).iterdir() if p.suffix.lower() in PICTURE_SUFFIXES)
            check(found, "class folders", "filled with pictures", f"{root / name} without any")
            self.items += [(path, k) for path in found]

    def __len__(self) -> int:
        """Return how many pictures there are."""
        return len(self.items)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Return ((3, size_px, size_px) codes, class)."""
        path, label = self.items[index]
        codes = torch.from_numpy(read_picture(path, encoding="srgb", background=1.0)).expand(3, -1, -1)
        return (self._random(codes) if self.crop == "random" else self._central(codes)), label

    def _random(self, codes: Tensor) -> Tensor:
        rng = np.random.default_rng(int(torch.randint(2**62, ())))
        top, left, height, width = crop_box(codes.shape[1], codes.shape[2], rng)
        return _resized(codes[:, top : top + height, left : left + width], (self.size_px, self.size_px))

    def _central(self, codes: Tensor) -> Tensor:
        height, width = codes.shape[1:]
        scale = self.resize_px / min(height, width)
        codes = _resized(codes, (max(round(height * scale), self.size_px), max(round(width * scale), self.size_px)))
        top, left = (codes.shape[1] - self.size_px) // 2, (codes.shape[2] - self.size_px) // 2
        return codes[:, top : top + self.size_px, left : left + self.size_px]


def crop_box(height: int, width: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Draw (top, left, height, width): area uniform in 8-100 %, log of the aspect ratio uniform in ±log(4/3)."""
    for _ in range(10):
        area = height * width * rng.uniform(0.08, 1)
        ratio = math.exp(rng.uniform(-math.log(4 / 3), math.log(4 / 3)))
        h, w = round(math.sqrt(area / ratio)), round(math.sqrt(area * ratio))
        if 0 < h <= height and 0 < w <= width:
            return int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1)), h, w
    side = min(height, width)  # very long pictures: the central square
    return (height - side) // 2, (width - side) // 2, side, side


def _resized(codes: Tensor, size: tuple[int, int]) -> Tensor:
    found = functional.interpolate(codes[None], size, mode="bicubic", align_corners=False, antialias=True)
    return found[0].clamp(0, 1)  # cubic weights overshoot, files cannot
