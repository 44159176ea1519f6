"""The encoder that captions start from: one linear map from unit-norm image embeddings to voxels."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import numpy as np
import torch
import xarray as xr

from ..._check import as_rng, check, finite, integer, non_negative, one_of, positive
from ...data import average_repeats
from ...training import fit
from .._trials import check_alike
from ..voxelwise import ALPHAS, aligned, neuroid_coords, voxel_weights
from .projection import unit_rows


def fit_image_encoder(
    embeddings: Any,
    responses: xr.DataArray,
    *,
    solver: Literal["ridge", "sgd"] = "ridge",
    standardize_within: str | None = None,
    alphas: Any = ALPHAS,
    epochs: int = 100,
    learning_rate: float = 3e-4,
    weight_decay: float = 1.5e-2,
    batch_size: int = 32,
    progress: bool = False,
    random_state: int = 0,
) -> xr.Dataset:
    """Fit voxels to image embeddings of norm 1, averaged over repeats.

    Parameters
    ----------
    embeddings
        (presentation, feature) in the rows of `responses`, or a labelled array with one row a ``stimulus_id``; each row
        is divided by its norm.
    responses
        Responses (presentation, neuroid).
    solver
        "ridge": closed form, a penalty a voxel, chosen by leaving stimuli out. "sgd": the released recipe, AdamW on the
        mean squared error whose rate falls to half, ``learning_rate * 0.5 ** (epoch / epochs)``.
    standardize_within
        Coordinate of presentation, such as ``"session"``, within which each voxel is z-scored before averaging.
    alphas
        Penalties of "ridge", as in `voxel_weights`.
    epochs, learning_rate, weight_decay, batch_size, random_state
        Of "sgd"; the values are those of the released code. Its augmentation of pictures comes before embedding and is
        the caller's.
    progress
        Show a bar.

    Returns
    -------
    xarray.Dataset
        ``weight`` (neuroid, feature), ``intercept`` and ``alpha`` (neuroid; NaN for "sgd").

    Raises
    ------
    ValueError
        For rows that do not match, NaN, or an embedding of norm 0.

    References
    ----------
    .. [1] A F Luo et al. (2024). BrainSCUBA. arXiv:2310.04420; settings of the released code.

    Examples
    --------
    >>> import numpy as np
    >>> from neuroperc.data import make_responses
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(200, 5))
    >>> seen = x / np.linalg.norm(x, axis=1, keepdims=True)
    >>> y = seen @ rng.normal(size=(5, 3)) + 0.01 * rng.normal(size=(200, 3))
    >>> found = fit_image_encoder(x, make_responses(y, stimulus_id=np.arange(200)))
    >>> found.weight.dims, bool(np.corrcoef((seen @ found.weight.values.T)[:, 0], y[:, 0])[0, 1] > 0.99)
    (('neuroid', 'feature'), True)
    """
    one_of("solver", solver, ("ridge", "sgd"))
    x, averaged = stimulus_rows(embeddings, responses, standardize_within)
    if solver == "ridge":
        return voxel_weights(x, averaged, alphas=alphas, progress=progress)
    n_epochs = integer("epochs", epochs)
    positive("learning_rate", learning_rate)
    non_negative("weight_decay", weight_decay)
    per_epoch = -(-len(x) // integer("batch_size", batch_size))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(integer("random_state", random_state, minimum=0))
        model = torch.nn.Linear(x.shape[1], averaged.sizes["neuroid"])
    fit(
        model, (torch.from_numpy(x.astype(np.float32)), torch.from_numpy(averaged.values.astype(np.float32))),
        loss=lambda net, batch: (net(batch[0]) - batch[1]).square().mean(),
        optimizer=partial(torch.optim.AdamW, lr=learning_rate, weight_decay=weight_decay),
        epochs=n_epochs, batch_size=batch_size, progress=progress, random_state=random_state,
        schedule=lambda step: 0.5 ** (step // per_epoch / n_epochs),
    )  # fmt: skip
    data = {
        "weight": (("neuroid", "feature"), model.weight.detach().numpy()),
        "intercept": ("neuroid", model.bias.detach().numpy()),
        "alpha": ("neuroid", np.full(averaged.sizes["neuroid"], np.nan, np.float32)),
    }
    return xr.Dataset(data, coords=neuroid_coords(averaged), attrs={"solver": solver})


def stimulus_rows(
    embeddings: Any, responses: xr.DataArray, within: str | None = None
) -> tuple[np.ndarray, xr.DataArray]:
    """Return unit-norm embeddings and responses averaged over repeats, a row a stimulus each."""
    x, y, labels = aligned(embeddings, responses, "stimulus_id")
    finite("responses", y, 'Read with nan="drop".')
    check_alike("embeddings", x, labels)
    if within is not None:
        responses = _standardized(responses, within)
    averaged = average_repeats(responses)
    names, first = np.unique(labels, return_index=True)
    rows = first[np.searchsorted(names, averaged.coords["stimulus_id"].values)]
    return unit_rows("embeddings", x[rows])[0].numpy(), averaged


def _standardized(responses: xr.DataArray, within: str) -> xr.DataArray:
    check(within in responses.coords, "standardize_within", f"a coordinate among {sorted(map(str, responses.coords))}",
          within)  # fmt: skip
    values, labels = responses.values.astype(np.float64), responses.coords[within].values
    for label in np.unique(labels):
        rows = labels == label
        spread = values[rows].std(axis=0)
        check(rows.sum() > 1 and (spread > 0).all(), "responses", f"ones that vary within {within} {label}",
              f"{int((spread == 0).sum())} constant voxels", "Leave them out.")  # fmt: skip
        values[rows] = (values[rows] - values[rows].mean(axis=0)) / spread
    return responses.copy(data=values)


def weight_stability(
    embeddings: Any,
    responses: xr.DataArray,
    *,
    n_splits: int = 5,
    alphas: Any = ALPHAS,
    rng: int | np.random.Generator,
) -> xr.Dataset:
    """Compare each voxel's weights between encoders that saw disjoint halves of the stimuli.

    Parameters
    ----------
    embeddings, responses, alphas
        As in `fit_image_encoder`.
    n_splits
        Random halves.
    rng
        Seed or generator.

    Returns
    -------
    xarray.Dataset
        ``stability`` (split, neuroid), the cosine of the two halves' weights, and ``shuffled``, the same when the
        second half's responses are dealt to other stimuli: what the covariance of the embeddings alone gives.

    Raises
    ------
    ValueError
        For fewer than 12 stimuli, or as `fit_image_encoder`.

    Examples
    --------
    >>> import numpy as np
    >>> from neuroperc.data import make_responses
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(200, 5))
    >>> y = x @ rng.normal(size=(5, 3)) + rng.normal(size=(200, 3))
    >>> found = weight_stability(x, make_responses(y, stimulus_id=np.arange(200)), rng=0)
    >>> bool(found.stability.mean() > 0.9), bool(abs(found.shuffled.mean()) < 0.5)
    (True, True)
    """
    x, averaged = stimulus_rows(embeddings, responses)
    n, generator = len(x), as_rng(rng)
    check(n >= 12, "responses", "of at least 12 stimuli", n, "Halves of fewer say nothing.")
    found = []
    for _ in range(integer("n_splits", n_splits)):
        order = generator.permutation(n)
        first, second = order[: n // 2], order[n // 2 :]
        moved = averaged.isel(presentation=second).copy(data=averaged.values[generator.permutation(second)])
        halves = [(first, averaged.isel(presentation=first)), (second, averaged.isel(presentation=second)),
                  (second, moved)]  # fmt: skip
        directions = [_directions(x[rows], part, alphas) for rows, part in halves]
        found.append([(directions[0] * other).sum(axis=1) for other in directions[1:]])
    values = np.array(found)
    data = {name: (("split", "neuroid"), values[:, k]) for k, name in enumerate(("stability", "shuffled"))}
    return xr.Dataset(data, coords=neuroid_coords(averaged), attrs={"n_stimuli_per_half": n // 2})


def _directions(x: np.ndarray, responses: xr.DataArray, alphas: Any) -> np.ndarray:
    weight = voxel_weights(x, responses, alphas=alphas).weight.values.astype(float)
    return np.asarray(unit_rows("responses", weight)[0].numpy())


def shuffle_stimuli(responses: xr.DataArray, *, rng: int | np.random.Generator) -> xr.DataArray:
    """Average repeats, then deal the responses to other stimuli: the control in which nothing can be recovered.

    Parameters
    ----------
    responses
        Responses (presentation, neuroid).
    rng
        Seed or generator.

    Returns
    -------
    xarray.DataArray
        Responses, a row a stimulus. Voxels stay together, so that their correlations are kept.

    Raises
    ------
    ValueError
        For fewer than two stimuli.

    Examples
    --------
    >>> import numpy as np
    >>> from neuroperc.data import make_responses
    >>> shuffle_stimuli(make_responses(np.arange(4.0)[:, None], stimulus_id=list("abcd")), rng=0).values[:, 0].tolist()
    [2.0, 0.0, 1.0, 3.0]
    """
    averaged = average_repeats(responses)
    n = averaged.sizes["presentation"]
    check(n > 1, "responses", "of two or more stimuli", n)
    return averaged.copy(data=averaged.values[as_rng(rng).permutation(n)])


def counterfactual_effect(encoder: xr.Dataset, with_embeddings: Any, without_embeddings: Any) -> xr.Dataset:
    """Ask an encoder what adding one thing to otherwise equal pictures does to each voxel.

    A caption can name what merely comes along with the cause. Pairs that differ in one thing alone tell them apart.

    Parameters
    ----------
    encoder
        As `fit_image_encoder` returns it.
    with_embeddings, without_embeddings
        (pair, feature) embeddings of pictures with the thing, and of the same pictures without it.

    Returns
    -------
    xarray.Dataset
        ``effect`` (neuroid), mean predicted difference; ``sem``, its standard error over pairs; ``share``, that of
        pairs with a positive difference.

    Raises
    ------
    ValueError
        For fewer than two pairs, shapes that differ, or NaN.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> encoder = xr.Dataset({"weight": (("neuroid", "feature"), np.eye(2))})
    >>> found = counterfactual_effect(encoder, [[1, 1], [1, 0.5]], [[0, 1], [0, 0.5]])
    >>> found.effect.values.round(2).tolist(), found.share.values.tolist()
    ([0.8, -0.42], [1.0, 0.0])
    """
    given = {"with_embeddings": with_embeddings, "without_embeddings": without_embeddings}
    unit = [unit_rows(name, np.asarray(a, dtype=float))[0].numpy() for name, a in given.items()]
    check(unit[0].shape == unit[1].shape and len(unit[0]) > 1, "with_embeddings and without_embeddings",
          "two or more pairs of one width", f"shapes {unit[0].shape} and {unit[1].shape}")  # fmt: skip
    weight = encoder["weight"].transpose("neuroid", "feature").values
    check(weight.shape[1] == unit[0].shape[1], "with_embeddings", f"(pair, {weight.shape[1]}) as the encoder is wide",
          f"shape {unit[0].shape}")  # fmt: skip
    change = (unit[0] - unit[1]) @ weight.T
    rows = {"effect": change.mean(0), "sem": change.std(0, ddof=1) / len(change) ** 0.5, "share": (change > 0).mean(0)}
    coords = {str(n): c for n, c in encoder.coords.items() if c.dims == ("neuroid",)}
    return xr.Dataset({name: ("neuroid", v) for name, v in rows.items()}, coords=coords, attrs={"n_pairs": len(change)})
