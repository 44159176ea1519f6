"""From a voxel's weights to the images that exist: a softmax over a bank, direction and norm apart, read in shards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from ..._check import as_rng, check, fail, integer, positive

#: A bank of image embeddings: (image, feature), its shards, or a function that returns its shards anew.
Bank = Any
_IMAGES, _VOXELS = 1024, 2048  # a tile of 8 MB of similarities


def project_weights(
    weights: Any,
    image_bank: Bank,
    *,
    tau: float = 1 / 150,
    share: float = 1.0,
    images_per_batch: int = _IMAGES,
    voxels_per_batch: int = _VOXELS,
    progress: bool = False,
    rng: int | np.random.Generator = 0,
) -> Any:
    """Move each voxel's weights to where images lie: softmax-weighted mean direction times weighted mean norm.

    With the weights' direction u, images of norm n_k and direction d_k, and s = softmax(u · d_k / tau) over the bank:
    ``normalise(sum s_k d_k) * sum s_k n_k``. The softmax is exact, with a running maximum: memory is that of the
    weights and one tile, whatever the size of the bank.

    Parameters
    ----------
    weights
        (voxel, feature), NumPy or torch; float64 is computed in float64, all else in float32, where they lie.
    image_bank
        (image, feature) array, memory map or tensor; an iterable of such shards; or a function without arguments that
        returns one. Half precision is widened a tile at a time.
    tau
        Temperature in units of the cosine: towards 0 the nearest image, towards infinity the mean of all. Which value
        is good depends on the spread of cosines in the bank: draw the curve.
    share
        Chance of each image to take part, drawn from `rng`: 0.5 for a random half.
    images_per_batch, voxels_per_batch
        Size of a tile. The result does not depend on it.
    progress
        Show a bar over tiles of images.
    rng
        Seed or generator of the random part of the bank.

    Returns
    -------
    array
        (voxel, feature), of the weights' kind and device; inside the cone that the images span.

    Raises
    ------
    ValueError
        For NaN, a voxel whose weights are all 0, an image of norm 0, shards of another width, or an empty bank.

    References
    ----------
    .. [1] A F Luo et al. (2024). BrainSCUBA. arXiv:2310.04420, section on projection; released code for tau = 1/150.

    Examples
    --------
    >>> import numpy as np
    >>> bank = np.array([[2.0, 0.0], [0.0, 4.0]])
    >>> project_weights(np.array([[1.0, 0.5]]), bank, tau=0.001).round(3).tolist()
    [[2.0, 0.0]]
    >>> project_weights(np.array([[1.0, 0.5]]), bank, tau=1000.0).round(2).tolist()
    [[2.12, 2.12]]
    """
    unit, back = unit_rows("weights", weights)
    n_voxels, n_features = unit.shape
    scaled = unit / positive("tau", tau, "The released value is 1/150.")
    sums = torch.zeros(n_voxels, n_features + 2, dtype=torch.float64, device=unit.device)
    top = torch.full((n_voxels,), -torch.inf, dtype=unit.dtype, device=unit.device)
    step = integer("voxels_per_batch", voxels_per_batch)
    blocks = bank_blocks(image_bank, like=unit, images_per_batch=images_per_batch, share=share, rng=rng)
    empty = True
    for block in tqdm(blocks, disable=not progress, desc="image bank"):
        empty = False
        norms = block.norm(dim=1, keepdim=True)
        # Columns beside the directions sum the norms and the softmax's denominator in the same product.
        wide = torch.cat([block / norms, norms, torch.ones_like(norms)], dim=1)
        for start in range(0, n_voxels, step):
            here = slice(start, start + step)
            _add(sums[here], top[here], scaled[here], wide, n_features)
    check(not empty, "image_bank", "of at least one image", "none", "A generator can be read once only.")
    direction = torch.nn.functional.normalize(sums[:, :n_features], dim=1)
    return back(direction * (sums[:, n_features] / sums[:, n_features + 1])[:, None])


def _add(sums: Tensor, top: Tensor, scaled: Tensor, wide: Tensor, n_features: int) -> None:
    """Add a tile of images to the sums in place; what was summed below an older maximum fades."""
    logits = scaled @ wide[:, :n_features].T
    higher = torch.maximum(top, logits.amax(dim=1))
    sums.mul_(torch.exp(top - higher)[:, None])
    top.copy_(higher)
    sums.add_(logits.sub_(higher[:, None]).exp_() @ wide)


def distance_to_bank(vectors: Any, image_bank: Bank, *, images_per_batch: int = _IMAGES) -> np.ndarray:
    """Return how far each vector points from the nearest image: 1 minus the highest cosine, 0 to 2.

    Parameters
    ----------
    vectors
        (voxel, feature): weights, or what `project_weights` made of them. Measure against images that took no part in
        the projection; those that did are near by construction.
    image_bank, images_per_batch
        As in `project_weights`.

    Returns
    -------
    numpy.ndarray
        (voxel,).

    Raises
    ------
    ValueError
        As `project_weights`.

    Examples
    --------
    >>> import numpy as np
    >>> distance_to_bank(np.array([[1.0, 0.0], [-1.0, 0.0]]), np.eye(2)).tolist()
    [0.0, 1.0]
    """
    unit, _ = unit_rows("vectors", vectors)
    nearest = torch.full((len(unit),), -torch.inf, dtype=unit.dtype, device=unit.device)
    for block in bank_blocks(image_bank, like=unit, images_per_batch=images_per_batch):
        cosine = unit @ torch.nn.functional.normalize(block, dim=1).T
        nearest = torch.maximum(nearest, cosine.amax(dim=1))
    check(bool(nearest.isfinite().all()), "image_bank", "of at least one image", "none")
    return np.asarray(1 - nearest.cpu().numpy())


def unit_rows(name: str, rows: Any) -> tuple[Tensor, Callable[[Tensor], Any]]:
    """Return rows of norm 1 as a tensor where they lie, and the way back to their kind and dtype."""
    given = rows.values if hasattr(rows, "coords") else rows
    if isinstance(given, Tensor):
        kind, tensor = given.dtype if given.is_floating_point() else torch.float32, given.detach()
    else:
        array = np.asarray(given)
        check(array.dtype.kind in "fiu", name, "numbers", str(array.dtype))
        tensor = torch.from_numpy(np.array(array, dtype=np.float64 if array.dtype == np.float64 else np.float32))
        kind = tensor.dtype
    check(tensor.ndim == 2 and tensor.numel() > 0, name, "(voxel, feature)", f"shape {tuple(tensor.shape)}")
    tensor = tensor.to(torch.float64 if tensor.dtype == torch.float64 else torch.float32)
    norms = tensor.norm(dim=1, keepdim=True)
    bad = ~(norms[:, 0].isfinite() & (norms[:, 0] > 0))
    if bool(bad.any()):
        first = int(bad.nonzero()[0, 0])
        fail(name, "finite and not all 0 in any row", f"{int(bad.sum())} such rows, the first is {first}",
             "Leave those voxels out: nothing points anywhere.")  # fmt: skip
    if isinstance(given, Tensor):
        return tensor / norms, lambda found: found.to(kind)
    return tensor / norms, lambda found: found.to(kind).cpu().numpy()


def bank_blocks(
    image_bank: Bank, *, like: Tensor, images_per_batch: int, share: float = 1.0, rng: int | np.random.Generator = 0
) -> Iterator[Tensor]:
    """Yield blocks (some images, feature) of the dtype and device of `like`; a random share of the rows of each."""
    step, generator = integer("images_per_batch", images_per_batch), as_rng(rng)
    check(0 < share <= 1, "share", "above 0 and at most 1", share, "0.5 takes a random half.")
    for number, shard in enumerate(_shards(image_bank)):
        shape = tuple(getattr(shard, "shape", ()))
        check(len(shape) == 2 and shape[1] == like.shape[1], f"shard {number} of image_bank",
              f"(image, {like.shape[1]}) as the weights are wide", f"shape {shape}")  # fmt: skip
        for start in range(0, shape[0], step):
            block = shard[start : start + step]
            if share < 1:
                keep = np.flatnonzero(generator.random(len(block)) < share)
                if not keep.size:
                    continue
                block = block[keep]
            yield _checked(block, like, number, start)


def _checked(block: Any, like: Tensor, number: int, start: int) -> Tensor:
    wide = np.float64 if like.dtype == torch.float64 else np.float32
    tensor = block if isinstance(block, Tensor) else torch.from_numpy(np.array(block, dtype=wide))
    tensor = tensor.to(device=like.device, dtype=like.dtype)
    norms = tensor.norm(dim=1)
    check(bool((norms.isfinite() & (norms > 0)).all()), f"shard {number} of image_bank",
          "of finite embeddings that are not 0", f"others among the rows from {start}",
          "Leave out images that could not be embedded.")  # fmt: skip
    return tensor


def _shards(image_bank: Bank) -> Iterable[Any]:
    if callable(image_bank):
        return iter(image_bank())
    if len(getattr(image_bank, "shape", ())) == 2:
        return [image_bank]
    if isinstance(image_bank, str | bytes) or not isinstance(image_bank, Iterable):
        fail("image_bank", "an array (image, feature), an iterable of shards or a function that returns one",
             type(image_bank).__name__, "Open files with numpy.load(path, mmap_mode='r').", TypeError)  # fmt: skip
    return image_bank
