"""Words in captions: the nouns of a region, and maps of where a set of words is said."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ..._check import check, fail, integer

#: Words that mean a person, in captions of photographs.
PERSON_WORDS = (
    "person", "people", "man", "men", "woman", "women", "child", "children", "boy", "girl", "baby", "guy", "lady",
    "kid", "crowd", "family", "player", "skier", "surfer", "rider", "face",
)  # fmt: skip


def nouns_by_region(
    captions: xr.Dataset,
    nouns: Iterable[str] | Mapping[str, str],
    *,
    region: str = "region",
    n_top: int = 10,
) -> pd.DataFrame:
    """Count which nouns the captions of each region name most.

    Parameters
    ----------
    captions
        As `caption_voxels` returns it, with a coordinate of neuroid that names regions; voxels in no region ("") are
        left out.
    nouns
        The nouns that count, or a mapping of words to the noun they stand for (``{"men": "man"}``). Whole words are
        matched, a plural s or es is allowed, and a longer entry ("hot dog") goes before a shorter one. There is no
        language model in it: what is not listed is not counted.
    region
        Name of the coordinate.
    n_top
        Nouns a region, at most.

    Returns
    -------
    pandas.DataFrame
        ``region noun rank share n_captions n_voxels``; share is that of the region's captions that name the noun.

    Raises
    ------
    ValueError
        When the coordinate is missing, no voxel lies in a region, or no noun is given.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> said = np.array([["a cat and two dogs", "an old house"], ["a cat", "a house with a cat"]])
    >>> captions = xr.Dataset({"caption": (("draw", "neuroid"), said)}, coords={"region": ("neuroid", ["IT", "PPA"])})
    >>> nouns_by_region(captions, ["cat", "dog", "house"], n_top=1)[["region", "noun", "share"]].values.tolist()
    [['IT', 'cat', 1.0], ['PPA', 'house', 1.0]]
    """
    check(region in captions.coords, "region", f"a coordinate among {sorted(map(str, captions.coords))}", region,
          "See label_voxels.")  # fmt: skip
    given = captions.coords[region].values
    labels = np.where(pd.isna(given), "", given.astype(str))
    check((labels != "").any(), region, "a region for at least one voxel", "none")
    names, named = _named(captions, nouns)
    top, rows = integer("n_top", n_top), []
    for label in np.unique(labels[labels != ""]):
        own = named[:, labels == label]  # (draw, voxel, noun)
        share = own.mean(axis=(0, 1))
        for rank, k in enumerate(np.argsort(-share, kind="stable")[:top]):
            if share[k] > 0:
                rows.append((label, names[k], rank + 1, float(share[k]), own[..., 0].size, own.shape[1]))
    return pd.DataFrame(rows, columns=["region", "noun", "rank", "share", "n_captions", "n_voxels"])


def word_map(captions: xr.Dataset, words: Iterable[str] | Mapping[str, str] = PERSON_WORDS) -> xr.DataArray:
    """Return for each voxel the share of its captions that say any of the words; people by default.

    Parameters
    ----------
    captions
        As `caption_voxels` returns it.
    words
        As `nouns` of `nouns_by_region`.

    Returns
    -------
    xarray.DataArray
        (neuroid,) in [0, 1], ready for a flat map.

    Raises
    ------
    ValueError
        When no word is given.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> said = np.array([["a man on a bench", "a mango"], ["two people", "a manor"]])
    >>> word_map(xr.Dataset({"caption": (("draw", "neuroid"), said)})).values.tolist()
    [1.0, 0.0]
    """
    _, named = _named(captions, words)
    return captions["caption"].isel(draw=0, drop=True).copy(data=named.any(axis=2).mean(axis=0)).rename("share")


def _named(captions: xr.Dataset, nouns: Iterable[str] | Mapping[str, str]) -> tuple[list[str], np.ndarray]:
    """Return the nouns and whether a caption names each, (draw, voxel, noun)."""
    known = hasattr(captions, "data_vars") and "caption" in captions
    check(known, "captions", "a Dataset with caption (draw, neuroid)", type(captions).__name__, "See caption_voxels.")
    if isinstance(nouns, str):
        fail("nouns", "a list of words or a mapping", nouns, f"Write [{nouns!r}].", TypeError)
    table = {str(k).lower(): str(v) for k, v in nouns.items()} if isinstance(nouns, Mapping) else {
        str(k).lower(): str(k) for k in nouns}  # fmt: skip
    check(table, "nouns", "at least one word", "none")
    check(all(word.strip() for word in table), "nouns", "words", "an empty one", "It would be found in every caption.")
    names = list(dict.fromkeys(table.values()))
    place = {name: k for k, name in enumerate(names)}
    longest = sorted(table, key=len, reverse=True)
    pattern = re.compile(r"\b(" + "|".join(map(re.escape, longest)) + r")(?:s|es)?\b")
    texts, back = np.unique(captions["caption"].transpose("draw", "neuroid").values.astype(str), return_inverse=True)
    found: Any = np.zeros((len(texts), len(names)), dtype=bool)
    for row, text in zip(found, texts, strict=True):
        row[[place[table[word]] for word in pattern.findall(text.lower())]] = True
    return names, found[back.reshape(captions["caption"].transpose("draw", "neuroid").shape)]
