"""`Metamer`: a synthesised picture and the record of how it came about."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes
from torch import Tensor

from .._check import atomic_path, check, fail
from ..color import linear_to_srgb
from .report import batched, pairwise_rms, ssim_to_target, table

if TYPE_CHECKING:
    import pandas as pd

_VERSION = 2  # of the files; 1 had no version and no residuals
_TENSORS = ("image", "target", "loss", "penalty", "converged")
_SHOWN = 4  # pictures of a batch in the notebook view


@dataclass(frozen=True)
class Metamer:
    """A picture made to match a target in a model's eyes, as `synthesize` returns it.

    Parameters
    ----------
    image, target
        (c, h, w) or (b, c, h, w), linear light in [0, 1].
    loss
        (n + 1,) or (n + 1, b): mean squared difference of the features before each of the n updates, then of `image`.
        An item that stopped early repeats its last value.
    penalty
        The same for the squared excess over [0, 1], summed over the picture; 0 throughout when the range is projected.
    converged
        () or (b,) bool: whether the loss stopped changing before the steps ran out.
    settings
        How it was made: plain numbers, strings, lists and dicts.
    residuals
        By group of features, () or (b,): root-mean-square difference over the root mean square wanted.

    Examples
    --------
    >>> import tempfile
    >>> import torch
    >>> flat = torch.full((1, 4, 4), 0.5)
    >>> metamer = Metamer(flat, flat, torch.zeros(1), torch.zeros(1), torch.tensor(True), {"steps": 0})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = metamer.save(folder + "/flat")
    ...     Metamer.load(path).settings
    {'steps': 0}
    >>> float(metamer.report()["rms"][0])
    0.0
    """

    image: Tensor
    target: Tensor
    loss: Tensor
    penalty: Tensor
    converged: Tensor
    settings: dict[str, Any]
    residuals: dict[str, Tensor] = field(default_factory=dict)

    def report(self) -> pd.DataFrame:
        """Say how good every picture is.

        Returns
        -------
        DataFrame
            A row a picture: the last loss, whether it converged, SSIM with the target (sRGB code values; NaN for
            pictures below 11 pixels), RMS difference from the target (linear light), and "residual NAME" for every
            group of features.
        """
        return table(self.image, self.target, self.loss, self.converged, self.residuals)

    def distances(self) -> Tensor:
        """Return root-mean-square differences between the pictures, (b, b), in linear light."""
        return pairwise_rms(self.image)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write ``<path>.safetensors`` (the tensors) and ``<path>.json`` (the settings and the other file's sha256).

        Returns
        -------
        Path
            The JSON file, which `load` takes.

        Raises
        ------
        ValueError
            When the folder does not exist.
        OSError
            When a file cannot be written; what was there is untouched.
        """
        stem = _stem(path)
        tensors = {name: getattr(self, name).detach().cpu().clone().contiguous() for name in _TENSORS}
        tensors |= {f"residual.{name}": value.cpu().clone() for name, value in self.residuals.items()}
        data = to_bytes(tensors)
        with atomic_path(stem.with_name(stem.name + ".safetensors")) as temporary:
            temporary.write_bytes(data)
        record = stem.with_name(stem.name + ".json")
        with atomic_path(record) as temporary:
            fields = {"version": _VERSION, "settings": self.settings, "sha256": hashlib.sha256(data).hexdigest()}
            temporary.write_text(json.dumps(fields, indent=2), encoding="utf-8")
        return record

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Metamer:
        """Read what `save` wrote, given either of its files or their common stem.

        Raises
        ------
        ValueError
            When a file is missing, damaged, or the two do not belong together.
        """
        stem = _stem(path)
        record, store = stem.with_name(stem.name + ".json"), stem.with_name(stem.name + ".safetensors")
        for file in (record, store):
            check(file.is_file(), "path", "the stem of a saved metamer", str(path), f"{file} is missing.")
        try:
            fields = json.loads(record.read_text(encoding="utf-8"))
            settings, digest, version = fields["settings"], fields["sha256"], int(fields.get("version", 1))
        except (ValueError, KeyError, TypeError, UnicodeDecodeError) as error:
            fail("path", "a metamer's JSON", f"{record} ({type(error).__name__}: {error})", "Save it again.")
        check(
            version <= _VERSION, "path", f"of version {_VERSION} or older", f"{record}: {version}", "Update neuroperc."
        )
        if hashlib.sha256(store.read_bytes()).hexdigest() != digest:
            fail("path", "two files of one save", f"{store}, changed since {record.name} was written", "Save it again.")
        try:
            tensors = load_file(store)
        except (SafetensorError, OSError) as error:
            fail("path", "a metamer's tensors", f"{store} ({error})", "Save it again.")
        missing = sorted(set(_TENSORS) - set(tensors))
        check(not missing, "path", "a saved metamer", str(store), f"Its tensors lack {', '.join(missing)}.")
        found = {name.removeprefix("residual."): x for name, x in tensors.items() if name.startswith("residual.")}
        return cls(**{name: tensors[name] for name in _TENSORS}, settings=settings, residuals=found)

    def _repr_html_(self) -> str:
        converged, likeness = self.converged.reshape(-1), ssim_to_target(self.image, self.target)
        rows = []
        for item, (target, image) in enumerate(zip(batched(self.target), batched(self.image), strict=True)):
            if item == _SHOWN:
                rows.append(f"<tr><td colspan='3'>and {len(converged) - _SHOWN} more</td></tr>")
                break
            cells = "".join(f"<td><img src='{_png_uri(x)}' style='max-width:20em'></td>" for x in (target, image))
            rows.append(f"<tr>{cells}<td>{self._said(item, float(likeness[item]))}</td></tr>")
        name = html.escape(str(self.settings.get("model", "")))
        head = "<tr><th>target</th><th>metamer</th><th></th></tr>"
        return f"<table><caption>Metamer {name}</caption>{head}{''.join(rows)}</table>"

    def _said(self, item: int, likeness: float) -> str:
        loss, converged = self.loss.reshape(len(self.loss), -1)[:, item], bool(self.converged.reshape(-1)[item])
        lines = [f"loss {loss[0]:.3g} to {loss[-1]:.3g}" + (", converged" if converged else "")]
        if likeness == likeness:  # not NaN
            lines.append(f"SSIM with the target {likeness:.2f}")
        if self.image.ndim == 4 and len(self.image) > 1:
            others = torch.cat((self.distances()[item, :item], self.distances()[item, item + 1 :]))
            lines.append(f"RMS to the nearest other picture {others.min():.2g}")
        worst = sorted(self.residuals.items(), key=lambda pair: -float(pair[1].reshape(-1)[item]))[:_SHOWN]
        lines += [f"residual of {html.escape(name)}: {float(x.reshape(-1)[item]):.2%}" for name, x in worst]
        return "<br>".join(lines)


def _stem(path: str | os.PathLike[str]) -> Path:
    path = Path(path)
    return path.with_suffix("") if path.suffix in (".json", ".safetensors") else path


def _png_uri(image: Tensor) -> str:
    """Encode (c, h, w) linear light as a PNG data URI: grey, or the first three channels as sRGB."""
    shown = image[:3] if len(image) >= 3 else image[:1]
    codes = np.rint(linear_to_srgb(shown.double().clamp(0, 1)).numpy() * 255).astype(np.uint8).transpose(1, 2, 0)
    height, width, channels = codes.shape
    lines = b"".join(b"\0" + line.tobytes() for line in codes)  # every line starts with its filter: none
    head = struct.pack(">IIBBBBB", width, height, 8, 2 if channels == 3 else 0, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n"
    for kind, body in ((b"IHDR", head), (b"IDAT", zlib.compress(lines)), (b"IEND", b"")):
        data += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return "data:image/png;base64," + base64.b64encode(data).decode("ascii")
