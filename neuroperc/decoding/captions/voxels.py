"""Captions for voxels: several passes over random parts of a bank, one caption a pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import xarray as xr
from tqdm.auto import tqdm

from ..._check import as_rng, check, fail, finite, integer, positive
from .projection import Bank, project_weights, unit_rows

#: Takes embeddings (n, feature), returns n captions.
Captioner = Callable[[np.ndarray], Sequence[str]]


def caption_voxels(
    encoder: xr.Dataset,
    image_bank: Bank,
    captioner: Captioner,
    *,
    tau: float = 1 / 150,
    n_passes: int = 5,
    share: float = 0.5,
    noise_ceiling: Any = None,
    min_noise_ceiling: float = 0.1,
    captions_per_batch: int = 256,
    progress: bool = False,
    rng: int | np.random.Generator = 0,
) -> xr.Dataset:
    """Say in words what each voxel answers to most.

    Each pass projects the voxels' weights onto a random part of the bank (`project_weights`) and captions the result;
    how far the passes agree tells how much hangs on the bank.

    Parameters
    ----------
    encoder
        ``weight`` (neuroid, feature) on unit-norm image embeddings, as `fit_image_encoder` returns it; further
        coordinates of neuroid, such as ``region``, are kept.
    image_bank
        As in `project_weights`; a generator serves one pass only.
    captioner
        Any function from embeddings (n, feature) to n strings: `RetrievalCaptioner`, `PrefixCaptioner`, or your own.
    tau
        Temperature of the projection.
    n_passes
        Captions a voxel.
    share
        Chance of an image to take part in a pass; the released code takes random halves.
    noise_ceiling
        (neuroid,) share of variance that is signal, such as ``noise_ceilings(...).noise_ceiling``. Voxels below
        `min_noise_ceiling`, or without an estimate, get no caption. None captions all, and says so.
    min_noise_ceiling
        The gate.
    captions_per_batch
        Embeddings that the captioner gets at a time.
    progress
        Show a bar.
    rng
        Seed or generator of the parts of the bank.

    Returns
    -------
    xarray.Dataset
        ``caption`` (draw, neuroid) and ``projection`` (draw, neuroid, feature) of the voxels that passed the gate;
        attributes say the gate, tau, passes and share.

    Raises
    ------
    ValueError
        When no voxel passes the gate, a generator is given for several passes, or the captioner returns another number
        of captions.

    References
    ----------
    .. [1] A F Luo et al. (2024). BrainSCUBA: fine-grained natural language captions of visual cortex selectivity.
       arXiv:2310.04420

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> encoder = xr.Dataset({"weight": (("neuroid", "feature"), np.array([[3.0, 0.1], [0.0, 1.0]]))})
    >>> bank = np.random.default_rng(0).uniform(size=(500, 2))
    >>> words = RetrievalCaptioner(np.eye(2), ["a cat", "a house"])
    >>> found = caption_voxels(encoder, bank, words)
    >>> found.caption.shape, found.caption[0].values.tolist(), found.attrs["gate"]
    ((5, 2), ['a cat', 'a house'], 'none')
    """
    passes, size = integer("n_passes", n_passes), integer("captions_per_batch", captions_per_batch)
    once = isinstance(image_bank, Iterator)
    check(passes == 1 or not once, "image_bank", "an array, a list of shards or a function that returns shards",
          f"an iterator for {passes} passes", "It can be read once: give a function that makes it.")  # fmt: skip
    chosen, gate = _gated(encoder, noise_ceiling, min_noise_ceiling)
    weights, generator = chosen["weight"].transpose("neuroid", "feature").values, as_rng(rng)
    projections, captions = [], []
    for _ in tqdm(range(passes), disable=not progress, desc="passes"):
        found = project_weights(weights, image_bank, tau=tau, share=share, rng=generator)
        projections.append(np.asarray(found, dtype=np.float32))
        captions.append(_said(captioner, projections[-1], size))
    coords = {str(n): c for n, c in chosen.coords.items() if c.dims == ("neuroid",)}
    data = {
        "caption": (("draw", "neuroid"), np.array(captions)),
        "projection": (("draw", "neuroid", "feature"), np.stack(projections)),
    }
    attrs = {"tau": tau, "n_passes": passes, "share": share, "gate": gate}
    return xr.Dataset(data, coords=coords, attrs=attrs)


def _gated(encoder: xr.Dataset, noise_ceiling: Any, threshold: float) -> tuple[xr.Dataset, str]:
    known = hasattr(encoder, "data_vars") and "weight" in encoder
    check(
        known, "encoder", "a Dataset with weight (neuroid, feature)", type(encoder).__name__, "See fit_image_encoder."
    )
    check(set(encoder["weight"].dims) == {"neuroid", "feature"}, "encoder.weight", "(neuroid, feature)",
          encoder["weight"].dims)  # fmt: skip
    if noise_ceiling is None:
        return encoder, "none"
    positive("min_noise_ceiling", threshold, "Pass noise_ceiling=None to caption every voxel.")
    ceiling = np.asarray(noise_ceiling, dtype=float)
    n = encoder.sizes["neuroid"]
    check(ceiling.shape == (n,), "noise_ceiling", f"one number for each of the {n} voxels", f"shape {ceiling.shape}")
    keep = ceiling >= threshold  # NaN is below
    check(keep.any(), "noise_ceiling", f"{threshold} or more for at least one voxel",
          f"a largest of {np.nanmax(ceiling, initial=-np.inf):.3g}",
          "Lower min_noise_ceiling only with a reason.")  # fmt: skip
    chosen = encoder.assign_coords(noise_ceiling=("neuroid", ceiling)).isel(neuroid=np.flatnonzero(keep))
    return chosen, f"noise_ceiling >= {threshold:g}: {int(keep.sum())} of {n} voxels"


def _said(captioner: Captioner, vectors: np.ndarray, size: int) -> list[str]:
    said: list[str] = []
    for start in range(0, len(vectors), size):
        batch = vectors[start : start + size]
        got: Any = captioner(batch)
        new = [] if got is None or isinstance(got, str) else list(got)
        check(new and all(isinstance(s, str) for s in new), "captioner", "a function that returns a list of strings",
              repr(got), error=TypeError)  # fmt: skip
        check(len(new) == len(batch), "captioner", f"a function that returns {len(batch)} captions for as many rows",
              f"{len(new)}")  # fmt: skip
        said += new
    return said


class RetrievalCaptioner:
    """The caption, or the noun, whose embedding lies nearest: needs no generative model.

    Parameters
    ----------
    embeddings
        (caption, feature) text embeddings in the space of the images; their norms do not count.
    captions
        (caption,) strings.
    offset
        (feature,) what image embeddings have and text embeddings lack, such as the difference of their means: it is
        taken off the vectors before they are compared. None takes nothing off.
    prior
        (caption,) log-probabilities of the captions, such as ``TinyLM.log_likelihood`` divided by their number of
        words; added to cosine / `temperature`. None is a flat prior.
    temperature
        Cosines that count as much as one unit of `prior`.

    Raises
    ------
    ValueError
        When numbers or widths differ, or for NaN.

    Examples
    --------
    >>> import numpy as np
    >>> words = RetrievalCaptioner(np.eye(3), ["a cat", "a dog", "a house"])
    >>> words(np.array([[0.1, 0.9, 0.3]]))
    ['a dog']
    >>> words.nearest(np.array([[0.1, 0.9, 0.3]]), k=2)
    [['a dog', 'a house']]
    """

    def __init__(
        self,
        embeddings: Any,
        captions: Sequence[str],
        *,
        offset: Any = None,
        prior: Any = None,
        temperature: float = 1 / 150,
    ) -> None:
        unit, _ = unit_rows("embeddings", embeddings)
        self.captions = [str(c) for c in captions]
        n, width = unit.shape
        check(len(self.captions) == n, "captions", f"{n}, one for each embedding", len(self.captions))
        self._directions = unit.cpu().numpy()
        self._offset = np.zeros(width) if offset is None else np.asarray(offset, dtype=float)
        self._prior = np.zeros(n) if prior is None else np.asarray(prior, dtype=float)
        for name, array, length in (("offset", self._offset, width), ("prior", self._prior, n)):
            check(array.shape == (length,), name, f"of shape ({length},)", f"shape {array.shape}")
            finite(name, array)
        self.temperature = positive("temperature", temperature)

    def scores(self, vectors: Any) -> np.ndarray:
        """Return cosine / temperature + prior, (n, caption).

        Raises
        ------
        ValueError
            For vectors of another width, NaN, or rows that are 0 once the offset is off.
        """
        given = np.asarray(vectors, dtype=float)
        width = len(self._offset)
        check(given.ndim == 2 and given.shape[1] == width, "vectors", f"(n, {width})", f"shape {given.shape}")
        unit, _ = unit_rows("vectors", given - self._offset)
        return np.asarray(unit.numpy() @ self._directions.T / self.temperature + self._prior)

    def nearest(self, vectors: Any, *, k: int) -> list[list[str]]:
        """Return for each vector its k best captions, best first."""
        n = len(self.captions)
        if integer("k", k) > n:
            fail("k", f"at most the {n} captions", k)
        order = np.argsort(-self.scores(vectors), axis=1, kind="stable")[:, :k]
        return [[self.captions[i] for i in row] for row in order]

    def __call__(self, vectors: Any) -> list[str]:
        """Return the best caption of each vector (n, feature)."""
        return [self.captions[i] for i in self.scores(vectors).argmax(axis=1)]
