"""corruption_table: accuracy under every corruption and severity."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor
from tqdm.auto import tqdm

from ..._check import check, integer
from ..robust.codes import check_labels, on_codes
from ..robust.curves import INTERVAL_OF, correct, share
from .corrupting import _parameters, _seed, corrupt
from .severities import FAMILIES, Published


def corruption_table(
    model: Callable[[Tensor], Any],
    images: Tensor,
    labels: Tensor,
    *,
    rng: int | np.random.Generator,
    kinds: Sequence[str] = tuple(FAMILIES),
    severities: Sequence[int] = (1, 2, 3, 4, 5),
    published: Published = "imagenet",
    ids: Sequence[Any] | None = None,
    batch_size: int = 64,
    progress: bool = False,
) -> pd.DataFrame:
    """Accuracy of a network on corrupted pictures.

    Parameters
    ----------
    model, images, labels
        As in `fgsm`: a model of sRGB codes or a `nets.Net`; it runs in eval mode.
    rng, published, ids
        As in `corrupt`.
    kinds, severities
        Which; all by default.
    batch_size
        Pictures at a time.
    progress
        Show a bar.

    Returns
    -------
    pandas.DataFrame
        A row for the clean pictures (`kind` "none", `severity` 0), then one for each kind and severity: `kind`,
        `family`, `severity`, `accuracy`, `error`, `low`, `high` (95 % Wilson interval of the accuracy over pictures,
        named in ``attrs["interval_of"]``), `n_pictures`. The mean error of a network is
        ``table[table.severity > 0].groupby("family")["error"].mean()`` and the like; it is not divided by AlexNet's.

    Raises
    ------
    ValueError, TypeError
        As `corrupt` and `fgsm`.

    References
    ----------
    .. [1] D Hendrycks, T Dietterich (2019). arXiv:1903.12261.

    Examples
    --------
    >>> import torch
    >>> bright = lambda x: torch.stack([0.5 - x.mean((1, 2, 3)), x.mean((1, 2, 3)) - 0.5], 1)
    >>> x = torch.full((4, 1, 16, 16), 0.3)
    >>> table = corruption_table(bright, x, torch.zeros(4, dtype=torch.long), kinds=["brightness"],
    ...                          severities=[1, 3], rng=0)
    >>> table[["kind", "severity", "error"]].values.tolist()
    [['none', 0, 0.0], ['brightness', 1, 0.0], ['brightness', 3, 1.0]]
    """
    integer("batch_size", batch_size)
    for kind in kinds:
        for severity in severities:
            _parameters(kind, severity, published)
    check_labels(labels, len(images))
    names = list(range(len(images))) if ids is None else list(ids)
    check(len(names) == len(images), "ids", f"one for each of the {len(images)} images", len(names))
    shown, seed = on_codes(model), _seed(rng)
    rows = [{"kind": "none", "family": "none", "severity": 0, **share(correct(shown, images, labels, batch_size))}]
    cells = [(kind, severity) for kind in kinds for severity in severities]
    for kind, severity in tqdm(cells, desc="corruptions", disable=not progress):
        right = []
        for part in np.array_split(np.arange(len(images)), -(-len(images) // batch_size)):
            x = corrupt(images[part], kind, severity, rng=seed, ids=[names[i] for i in part], published=published)
            right.append(correct(shown, x, labels[part], batch_size))
        rows.append({"kind": kind, "family": FAMILIES[kind], "severity": severity, **share(np.concatenate(right))})
    table = pd.DataFrame(rows)
    table.insert(4, "error", 1 - table["accuracy"])
    table.attrs = {"interval_of": INTERVAL_OF, "published": published, "seed": seed}
    return table
