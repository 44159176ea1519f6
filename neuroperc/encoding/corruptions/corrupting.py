"""corrupt: one corruption of a batch of codes, or of a StimulusSet."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..._check import as_rng, check, integer, one_of
from ...color import linear_to_srgb, srgb_to_linear
from ...data import StimulusSet
from ..robust.codes import check_codes
from . import noise_and_blur, weather_and_digital
from .severities import FAMILIES, SEVERITIES, Published

_SMALLEST_PX = 8


def corrupt(
    images: Tensor,
    kind: str,
    severity: int,
    *,
    rng: int | np.random.Generator,
    ids: Sequence[Any] | None = None,
    published: Published = "imagenet",
) -> Tensor:
    """Corrupt pictures in one of fifteen ways and five severities.

    Noise, clouds, flakes and shifts of a picture follow from the seed, the kind and the picture's id alone: the same in
    a batch and alone, in any order, on any device, and at every severity.

    Parameters
    ----------
    images
        (b, c, h, w) sRGB codes in [0, 1], 8 px a side or more.
    kind
        One of `FAMILIES`.
    severity
        1 to 5.
    rng
        Seed or generator; a generator gives one seed.
    ids
        A name a picture; default its place in the batch.
    published
        Whose parameters: ``"imagenet"`` (made for 224 px) or ``"cifar10"`` (for 32 px). They are lengths in pixels and
        are not scaled.

    Returns
    -------
    Tensor
        (b, c, h, w) codes in [0, 1], of the dtype and device of `images`, not rounded to 8 bits.

    Raises
    ------
    ValueError, TypeError
        For an unknown kind or severity, codes outside [0, 1], or pictures below 8 px.

    References
    ----------
    .. [1] D Hendrycks, T Dietterich (2019). Benchmarking neural network robustness to common corruptions and
       perturbations. arXiv:1903.12261. Parameters from the released code; the operators are written anew: frost is
       made instead of photographed, motion blur is a rounded line of half a Gaussian, glass blur swaps pixels (the
       released loop copies), zooms are centred to the pixel's fraction, elastic shifts and their affine map share one
       interpolation. Error rates are therefore near, not equal to, those on the published pictures.

    Examples
    --------
    >>> import torch
    >>> grey = torch.full((1, 3, 32, 32), 0.5)
    >>> round(float(corrupt(grey, "gaussian_noise", 1, rng=0).std()), 2)
    0.08
    >>> corrupt(grey, "contrast", 5, rng=0).sub(grey).abs().max().item()
    0.0
    """
    check_codes(images)
    check(min(images.shape[2:]) >= _SMALLEST_PX, "images", f"at least {_SMALLEST_PX} px a side",
          tuple(images.shape[2:]), "Enlarge them first.")  # fmt: skip
    parameters = _parameters(kind, severity, published)
    names = list(range(len(images))) if ids is None else list(ids)
    check(len(names) == len(images), "ids", f"one for each of the {len(images)} images", len(names))
    rngs = _generators(rng, kind, names)
    module = noise_and_blur if hasattr(noise_and_blur, kind) else weather_and_digital
    x = images.detach().cpu().numpy().astype(np.float32)
    found = np.clip(getattr(module, kind)(x, parameters, rngs), 0, 1)
    return torch.from_numpy(np.ascontiguousarray(found)).to(images)


def corrupt_stimuli(
    stimuli: StimulusSet,
    kind: str,
    severity: int,
    *,
    rng: int | np.random.Generator,
    published: Published = "imagenet",
) -> StimulusSet:
    """Corrupt every picture of a set; place, ids, encoding and truth stay.

    With `record` and `benchmark` this tells how the fit to neurons falls with severity.

    Parameters
    ----------
    stimuli
        Pictures, which may differ in size; their linear light is turned into codes and back.
    kind, severity, rng, published
        As in `corrupt`; the noise of a picture follows from its `stimulus_id`.

    Returns
    -------
    StimulusSet
        In memory, with the columns `corruption` and `severity`.

    Raises
    ------
    ValueError
        As `corrupt`, and for movies.

    Examples
    --------
    >>> import numpy as np, neuroperc as npc
    >>> display = npc.Display.from_px_per_deg(8, resolution_px=(32, 32))
    >>> pictures = npc.StimulusSet.from_arrays(np.full((2, 3, 32, 32), 0.5, np.float32), display=display)
    >>> foggy = npc.encoding.corrupt_stimuli(pictures, "fog", 3, rng=0)
    >>> foggy.table["corruption"].tolist(), foggy.encoding
    (['fog', 'fog'], 'linear')
    """
    check(stimuli.fps is None, "stimuli", "pictures", "movies", "Corrupt their frames one by one.")
    seed, changed = _seed(rng), []
    for name in stimuli.ids:
        values = stimuli[name]
        codes = linear_to_srgb(values).clamp(0, 1) if stimuli.encoding == "linear" else values
        codes = corrupt(codes[None], kind, severity, rng=seed, ids=[name], published=published)[0]
        changed.append(srgb_to_linear(codes) if stimuli.encoding == "linear" else codes)
    table = stimuli.table.assign(corruption=kind, severity=severity)
    return StimulusSet.from_arrays(
        changed, display=stimuli.display, ids=stimuli.ids, encoding=stimuli.encoding, table=table, truth=stimuli.truth
    )


def _parameters(kind: str, severity: int, published: Published) -> Any:
    one_of("kind", kind, tuple(FAMILIES))
    one_of("published", published, tuple(SEVERITIES))
    check(integer("severity", severity) <= 5, "severity", "1 to 5", severity)
    return SEVERITIES[published][kind][severity - 1]


def _seed(rng: int | np.random.Generator) -> int:
    if isinstance(rng, np.random.Generator):
        return int(rng.integers(2**63))
    as_rng(rng)
    return int(rng)


def _generators(rng: int | np.random.Generator, kind: str, names: list[Any]) -> list[np.random.Generator]:
    words = [kind.encode(), *(str(name).encode() for name in names)]
    first, *rest = [int.from_bytes(hashlib.sha256(word).digest()[:8], "little") for word in words]
    seed = _seed(rng)
    return [np.random.default_rng([seed, first, each]) for each in rest]
