"""Retrieval with names that say which way, second-order selection, and the training picture nearest to a prediction."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..._check import check, finite, integer
from ...metrics import top_k_retrieval


def brain_to_image(
    brain: Any, image: Any, *, n_candidates: int | None = 300, k: int = 1
) -> np.ndarray:  # fmt: skip
    """Each brain ranks pictures: chance that its own picture is among the first `k` of `n_candidates`.

    "Image retrieval" in the text of MindEye: a picture is looked for. Candidates are drawn without replacement; the
    mean over all draws follows from the rank in closed form, so nothing is repeated and there is no seed.

    Parameters
    ----------
    brain, image
        (n, ...) embeddings of the same n pictures, in the same order; what follows n is flattened, compared by cosine.
    n_candidates
        Size of the pool, own picture included; None takes all n.
    k
        Guesses that count.

    Returns
    -------
    numpy.ndarray
        (n,) one a brain; chance is k / n_candidates.

    Raises
    ------
    ValueError
        For shapes that differ, NaN, or a pool larger than n.

    References
    ----------
    .. [1] P S Scotti et al. (2023). arXiv:2305.18274, section 4.1. The released helper compares the transpose, so that
       its number for one direction is that of the other: hence these two names.

    Examples
    --------
    Two brains say much the same as picture 0; picture 1 is still found by its own brain alone.

    >>> brain = np.array([[1.0, 0.0], [1.0, 0.1]])
    >>> image = np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> brain_to_image(brain, image, n_candidates=None).tolist()
    [1.0, 0.0]
    >>> image_to_brain(brain, image, n_candidates=None).tolist()
    [1.0, 1.0]
    """
    return np.asarray(top_k_retrieval(np.asarray(brain), np.asarray(image), n_candidates=n_candidates, k=k))


def image_to_brain(
    brain: Any, image: Any, *, n_candidates: int | None = 300, k: int = 1
) -> np.ndarray:  # fmt: skip
    """Each picture ranks brains: chance that its own brain is among the first `k` of `n_candidates`.

    "Brain retrieval" in the text of MindEye: a brain is looked for. Parameters, returned array, errors and reference
    are those of `brain_to_image`; the order of arguments is the same.

    Examples
    --------
    >>> brain, image = np.array([[1.0, 0.0], [1.0, 0.1]]), np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> image_to_brain(brain, image, n_candidates=None).tolist()
    [1.0, 1.0]
    """
    return np.asarray(top_k_retrieval(np.asarray(image), np.asarray(brain), n_candidates=n_candidates, k=k))


def select_reconstructions(candidates: Any, projected: Any) -> np.ndarray:
    """Pick of several reconstructions the one whose embedding is most like what the projector says.

    Parameters
    ----------
    candidates
        (n, candidate, ...) embeddings of the reconstructions, by the encoder that MindEye was trained with.
    projected
        (n, ...) of `MindEye.project`.

    Returns
    -------
    numpy.ndarray
        (n,) number of the best candidate by cosine; the first of equals.

    Raises
    ------
    ValueError
        For shapes that do not match, or NaN.

    References
    ----------
    .. [1] P S Scotti et al. (2023). arXiv:2305.18274: second-order selection of 16 samples.

    Examples
    --------
    >>> select_reconstructions([[[1.0, 0.0], [0.0, 1.0]]], [[0.1, 2.0]]).tolist()
    [1]
    """
    many, one = np.asarray(candidates, dtype=np.float64), np.asarray(projected, dtype=np.float64)
    matches = many.ndim >= 3 and (len(many), *many.shape[2:]) == one.shape
    check(matches and many.size > 0, "candidates", f"(n, candidate, ...) beside projected {one.shape}", many.shape)
    finite("candidates", many)
    finite("projected", one)
    flat = many.reshape(*many.shape[:2], -1)
    length = np.maximum(np.linalg.norm(flat, axis=-1), 1e-300)
    return np.asarray((np.einsum("nkd,nd->nk", flat, one.reshape(len(one), -1)) / length).argmax(axis=1))


def nearest_training_image(predicted: Any, training: Any, *, rows_per_batch: int = 1024) -> np.ndarray:
    """For each predicted embedding, the training picture that is most like it by cosine: a baseline without pixels.

    Parameters
    ----------
    predicted
        (n, ...) embeddings predicted from brains, never those of the pictures themselves.
    training
        (m, ...) embeddings of training pictures.
    rows_per_batch
        Predictions at a time.

    Returns
    -------
    numpy.ndarray
        (n,) numbers of training pictures.

    Raises
    ------
    ValueError
        For embeddings of different shape, or NaN.

    Examples
    --------
    >>> nearest_training_image([[2.0, 0.1]], [[0.0, 1.0], [1.0, 0.0]]).tolist()
    [1]
    """
    x, known = np.asarray(predicted, dtype=np.float64), np.asarray(training, dtype=np.float64)
    check(x.ndim >= 2 and x.shape[1:] == known.shape[1:] and known.size > 0, "training",
          f"(m, ...) like predicted {x.shape}", known.shape)  # fmt: skip
    finite("predicted", x)
    finite("training", known)
    flat, unit = x.reshape(len(x), -1), known.reshape(len(known), -1)
    unit = unit / np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-300)
    step = integer("rows_per_batch", rows_per_batch)
    found = [(flat[k : k + step] @ unit.T).argmax(axis=1) for k in range(0, len(flat), step)]
    return np.concatenate(found)
