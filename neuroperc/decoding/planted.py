"""Planted brains: simulated voxels with known tuning, known noise and known ceilings, in real or made geometry.

The drive of a voxel is u = (features - mean) . d with d in a space of low rank, scaled to unit variance over the given
stimuli. Its signal is ``sqrt(1 - nonlinearity) u + sqrt(nonlinearity) q``, where q, a preferred value along u, has the
part that a linear function of the low-rank features could explain taken out. So `nonlinearity` is the share of the
signal's variance that no linear model explains, and no linear decoder can use.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import xarray as xr

from .._check import as_rng, check, finite, integer, non_negative, positive
from ..data import make_responses
from ._planted_maps import Layout, lay_out, map_tuning

#: Median ncsnr by region: single-trial numbers of NSD at 1.8 mm, from the noise ceilings for three repeats of V1 .374,
#: V2 .312, V4 .253, ventral stream .078; the median over visual cortex of subject 1 where nothing else is known.
NCSNR: Mapping[str, float] = MappingProxyType(
    {"V1": 0.446, "V2": 0.389, "V4": 0.336, "IT": 0.168, "EarlyVis": 0.418, "": 0.361}
)
_REPEATS = 3
_FREQUENCY = 2.0  # radians per standard deviation of the drive: values of u from -1.5 to 1.5 have codes of their own
_NOISE_SD = 1.5  # % signal change, median over voxels


@dataclass(frozen=True, eq=False)
class PlantedBrain:
    """A simulated brain and everything that is true of it.

    Attributes
    ----------
    responses
        Responses (presentation, neuroid) in % signal change with `repetition session trial` and
        `region i j k true_ncsnr concept second_concept second_share part`; the grid is in attrs, so that `write_map`
        and `write_nsd` work.
    features
        (stimulus, feature), as given.
    rows
        (presentation,) row of `features` that each presentation shows.
    basis
        (rank, feature) orthonormal directions that all voxels share.
    loading, fold
        (neuroid, rank) coefficients of the drive, and of the linear part that is taken out of q.
    phase_rad, amplitude, q_mean, q_sd
        (neuroid,) preferred value as a phase; standard deviation of the signal; mean and deviation of q.
    noise_sd
        (neuroid,) standard deviation of a trial's noise, session drift aside.
    shared_loading
        (neuroid, shared rank) of the noise in units of `noise_sd`; its squares sum to the shared share.
    nonlinearity
        Share of the signal's variance that is not linear.
    """

    responses: xr.DataArray
    features: np.ndarray
    rows: np.ndarray
    basis: np.ndarray
    loading: np.ndarray
    fold: np.ndarray
    phase_rad: np.ndarray
    amplitude: np.ndarray
    q_mean: np.ndarray
    q_sd: np.ndarray
    noise_sd: np.ndarray
    shared_loading: np.ndarray
    nonlinearity: float

    @property
    def ncsnr(self) -> np.ndarray:
        """(neuroid,) signal over noise standard deviation of one trial."""
        return self.amplitude / self.noise_sd

    @property
    def weight(self) -> np.ndarray:
        """(neuroid, feature) weights of the best linear model, in response per unit of feature."""
        scale = self.amplitude * np.sqrt(1 - self.nonlinearity)
        return np.asarray((scale[:, None] * self.loading) @ self.basis)

    @property
    def drive_weight(self) -> np.ndarray:
        """(neuroid, feature) direction of each voxel's drive, whatever the non-linearity, scaled to a drive of SD 1."""
        return np.asarray(self.loading @ self.basis)

    def noise_ceiling(self, n_repeats: float = 1) -> np.ndarray:
        """Return the share of variance of a mean over `n_repeats` that a perfect model explains, (neuroid,).

        Session drift is not in it: take each session's mean away first.
        """
        power = self.ncsnr**2
        return np.asarray(power / (power + 1 / positive("n_repeats", n_repeats)))

    def predict(self, features: Any) -> np.ndarray:
        """Return the noiseless response (stimulus, neuroid) to any features."""
        x = np.asarray(features, dtype=np.float64)
        check(
            x.ndim == 2 and x.shape[1] == self.features.shape[1], "features", f"(n, {self.features.shape[1]})", x.shape
        )
        low = (x - self.features.mean(axis=0, dtype=np.float64)) @ self.basis.T
        drive = low @ self.loading.T
        if self.nonlinearity:
            bent = (_bend(drive, self.phase_rad) - self.q_mean - low @ self.fold.T) / self.q_sd
            drive = np.sqrt(1 - self.nonlinearity) * drive + np.sqrt(self.nonlinearity) * bent
        return np.asarray(self.amplitude * drive)

    @property
    def oracle(self) -> xr.DataArray:
        """What a perfect model predicts for every row of the responses."""
        found = self.predict(self.features)[self.rows].astype(self.responses.dtype)
        return self.responses.copy(data=found).assign_attrs(source="oracle of a planted brain (simulated)")

    def shuffled(self, rng: int | np.random.Generator) -> xr.DataArray:
        """Return the responses with stimuli renamed at random: as reliable as before, and about other features."""
        names = _names_by_row(self.responses, self.rows, len(self.features))
        order = as_rng(rng).permutation(len(names))
        made = self.responses.assign_coords(stimulus_id=("presentation", names[order][self.rows]))
        return made.assign_attrs(source="shuffled planted brain (simulated)")


def plant_brain(
    features: Any,
    *,
    stimulus_id: Any = None,
    regions: Mapping[str, Any] | None = None,
    affine: Any = None,
    rank: int = 24,
    nonlinearity: float = 0.0,
    n_repeats: Any = _REPEATS,
    presentations: Any = None,
    n_sessions: int = 3,
    ncsnr: float | Mapping[str, float] | None = None,
    ncsnr_spread: float = 0.4,
    shared_noise_rank: int = 20,
    shared_noise_share: float = 0.5,
    session_drift: float = 0.1,
    concepts: Mapping[str, Any] | None = None,
    preferred: Mapping[str, Sequence[str]] | None = None,
    mixed_share: float = 1 / 3,
    split: tuple[str, str, str] | None = None,
    smooth_mm: float = 6.0,
    rng: int | np.random.Generator,
) -> PlantedBrain:
    """Simulate voxels whose tuning is known, with noise like that of real ones.

    Parameters
    ----------
    features
        (stimulus, feature) of everything that will be shown, training and test.
    stimulus_id
        (stimulus,) names; None names them as NSD does: ``nsd00001``, ...
    regions
        Name to a mask: a path, or (i, j, k) of bool; or name to a number of voxels, for a made grid. A voxel in two
        masks belongs to the first. None makes 2,000 voxels in five regions.
    affine
        (4, 4) voxel indices to millimetres of masks that are arrays.
    rank
        Of the tuning of all voxels together.
    nonlinearity
        0 to 1: share of the signal's variance that no linear model explains, see the module.
    n_repeats
        Of every stimulus, or (stimulus,) one each. The order is random over the whole experiment.
    presentations
        (trial,) rows of `features` in order, instead of `n_repeats`.
    n_sessions
        Consecutive parts of the experiment, of (nearly) equal length.
    ncsnr
        Median over a region's voxels, one number or one a region; None takes `NCSNR`.
    ncsnr_spread
        Standard deviation of its natural logarithm over voxels.
    shared_noise_rank, shared_noise_share
        Noise that voxels share: number of sources, and share of the noise variance.
    session_drift
        Standard deviation of a voxel's mean over sessions, in units of its noise.
    concepts
        Name to direction (feature,): voxels are tuned to these, in patches. None makes 2 `rank` of them. When there are
        more than `rank`, directions are what is left of them in the `rank` dimensions that hold most of them.
    preferred
        Region to the names of its concepts; regions that are not there use all.
    mixed_share
        Share of voxels, at the borders of patches, that mix two concepts.
    split
        ``(region, concept, concept)``: one region falls into two parts along its longest axis, with one concept each.
    smooth_mm
        Scale of the maps.
    rng
        Seed or generator.

    Returns
    -------
    PlantedBrain

    Raises
    ------
    ValueError
        For features that are too few or do not vary, unknown names, or shares outside 0 to 1.

    References
    ----------
    .. [1] E J Allen et al. (2022). A massive 7T fMRI dataset. doi:10.1038/s41593-021-00962-x

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(200, 64))
    >>> brain = plant_brain(x, regions={"V1": 60, "IT": 40}, rank=8, rng=0)
    >>> brain.responses.shape, np.linalg.matrix_rank(brain.weight).item()
    ((600, 100), 8)
    >>> brain.responses.true_ncsnr.groupby("region").median().values.round(1).tolist()  # IT, V1
    [0.2, 0.5]
    """
    x, names = _check_features(features, stimulus_id, rank)
    for name, share in (("nonlinearity", nonlinearity), ("shared_noise_share", shared_noise_share),
                        ("mixed_share", mixed_share)):  # fmt: skip
        check(0 <= share <= 1, name, "from 0 to 1", share)
    maps_rng, order_rng, gain_rng, noise_rng = as_rng(rng).spawn(4)
    layout = lay_out(regions, affine)
    tuning = map_tuning(
        layout, x.shape[1], rank=rank, concepts=concepts, preferred=preferred, mixed_share=mixed_share, split=split,
        smooth_mm=positive("smooth_mm", smooth_mm), rng=maps_rng,
    )  # fmt: skip
    rows = _order(len(x), n_repeats, presentations, order_rng)
    snr = _draw_ncsnr(layout, ncsnr, non_negative("ncsnr_spread", ncsnr_spread), gain_rng)
    noise_sd = _NOISE_SD * np.exp(0.2 * gain_rng.standard_normal(len(snr)))
    shared = _draw_shared(len(snr), integer("shared_noise_rank", shared_noise_rank), shared_noise_share, gain_rng)
    parts = _signal(x, tuning.basis, tuning.loading, gain_rng)
    brain = PlantedBrain(
        responses=_labelled(np.zeros((len(rows), len(snr)), np.float32), rows, names, layout, tuning.coords | {
            "true_ncsnr": ("neuroid", snr)}, integer("n_sessions", n_sessions)),
        features=x, rows=rows, basis=tuning.basis, amplitude=snr * noise_sd, noise_sd=noise_sd, shared_loading=shared,
        nonlinearity=float(nonlinearity), **parts,
    )  # fmt: skip
    _add_noise(brain, non_negative("session_drift", session_drift), noise_rng)
    return brain


def _check_features(features: Any, stimulus_id: Any, rank: int) -> tuple[np.ndarray, np.ndarray]:
    x = np.asarray(features)
    check(x.ndim == 2, "features", "(stimulus, feature)", f"shape {x.shape}")
    finite("features", x)
    n, p = x.shape
    check(integer("rank", rank) <= p, "rank", f"at most {p}, the number of features", rank)
    check(n >= 2 * rank, "features", f"of at least {2 * rank} stimuli for a rank of {rank}", n, "Lower rank.")
    if stimulus_id is None:
        return x, np.array([f"nsd{k + 1:05d}" for k in range(n)])
    names = np.asarray(stimulus_id)
    check(names.shape == (n,) and len(np.unique(names)) == n, "stimulus_id", f"{n} different names", names.shape)
    return x, names


def _order(n: int, n_repeats: Any, presentations: Any, rng: np.random.Generator) -> np.ndarray:
    """Return the stimulus (row) of each trial."""
    if presentations is not None:
        rows = np.asarray(presentations)
        ok = rows.ndim == 1 and rows.dtype.kind in "iu" and rows.size and rows.min() >= 0 and rows.max() < n
        check(ok, "presentations", f"(trial,) whole numbers from 0 to {n - 1}", rows)
        return rows
    counts = np.broadcast_to(np.asarray(n_repeats), (n,)) if np.ndim(n_repeats) in (0, 1) else np.zeros(0)
    whole = counts.dtype.kind in "iu" and counts.shape == (n,) and counts.min() >= 0 and counts.max() >= 1
    check(whole, "n_repeats", f"one whole number, or one for each of the {n} stimuli", n_repeats)
    return rng.permutation(np.repeat(np.arange(n), counts.astype(int)))


def _draw_ncsnr(layout: Layout, ncsnr: Any, spread: float, rng: np.random.Generator) -> np.ndarray:
    if ncsnr is None:
        median = {r: NCSNR.get(r, NCSNR[""]) for r in layout.names}
    elif isinstance(ncsnr, Mapping):
        missing = [r for r in layout.names if r not in ncsnr]
        check(not missing, "ncsnr", "given for every region", f"none for {missing}")
        median = dict(ncsnr)
    else:
        median = dict.fromkeys(layout.names, ncsnr)
    middle = np.array([positive("ncsnr", median[r]) for r in layout.region])
    return np.asarray(middle * np.exp(spread * rng.standard_normal(len(middle))))


def _draw_shared(n: int, rank: int, share: float, rng: np.random.Generator) -> np.ndarray:
    loading = rng.standard_normal((n, rank))
    return np.asarray(np.sqrt(share) * loading / np.linalg.norm(loading, axis=1, keepdims=True))


def _bend(drive: np.ndarray, phase_rad: np.ndarray) -> np.ndarray:
    """Return the response of voxels that prefer a value along their drive."""
    return np.asarray(np.cos(_FREQUENCY * drive - phase_rad))


def _signal(x: np.ndarray, basis: np.ndarray, loading: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Scale the drive to unit variance over the stimuli, and take out of its bent copy what is linear."""
    low = (x - x.mean(axis=0, dtype=np.float64)) @ basis.T
    sd = (low @ loading.T).std(axis=0)
    check(sd.min() > 1e-9 * max(sd.max(), 1e-300), "features", "ones that vary along every direction", sd.min(),
          "Lower rank, or leave out constant features.")  # fmt: skip
    loading = loading / sd[:, None]
    phase = rng.uniform(0, 2 * np.pi, len(loading))
    bent = _bend(low @ loading.T, phase)
    mean = bent.mean(axis=0)
    fold = np.linalg.lstsq(low, bent - mean, rcond=None)[0].T
    left = bent - mean - low @ fold.T
    return {"loading": loading, "fold": fold, "phase_rad": phase, "q_mean": mean, "q_sd": left.std(axis=0)}


def _labelled(
    values: np.ndarray, rows: np.ndarray, names: np.ndarray, layout: Layout, coords: dict[str, Any], n_sessions: int
) -> xr.DataArray:
    n = len(rows)
    check(n_sessions <= n, "n_sessions", f"at most {n}, the number of trials", n_sessions)
    parts = np.array_split(np.arange(n), n_sessions)
    order = np.argsort(rows, kind="stable")
    starts = np.searchsorted(rows[order], rows[order])
    repetition = np.empty(n, int)
    repetition[order] = np.arange(n) - starts
    made = make_responses(
        values, stimulus_id=names[rows], neuroid_id=["-".join(map(str, v)) for v in layout.index.tolist()],
        units="% signal change", source="planted brain (simulated)", repetition=repetition, region=layout.region,
        session=np.repeat(np.arange(1, n_sessions + 1), [len(p) for p in parts]),
        i=layout.index[:, 0], j=layout.index[:, 1], k=layout.index[:, 2],
        coords=coords | {"trial": ("presentation", np.concatenate([np.arange(1, len(p) + 1) for p in parts]))},
    )  # fmt: skip
    made.attrs |= {"volume_shape": list(layout.shape), "affine": layout.affine.ravel().tolist(), "sform_code": 1,
                   "qform_code": 0}  # fmt: skip
    return made


def _add_noise(brain: PlantedBrain, drift: float, rng: np.random.Generator) -> None:
    """Fill the responses: signal, shared and private noise, drift."""
    values = brain.responses.values
    n, v = values.shape
    share = float((brain.shared_loading**2).sum(axis=1).mean())
    sources = rng.standard_normal((n, brain.shared_loading.shape[1]), dtype=np.float32)
    values += np.float32(np.sqrt(max(0.0, 1 - share))) * rng.standard_normal((n, v), dtype=np.float32)
    values += sources @ brain.shared_loading.T.astype(np.float32)
    sessions = brain.responses.coords["session"].values
    values += (drift * rng.standard_normal((sessions.max(), v), dtype=np.float32))[sessions - 1]
    values *= brain.noise_sd.astype(np.float32)
    values += brain.predict(brain.features).astype(np.float32)[brain.rows]


def _names_by_row(responses: xr.DataArray, rows: np.ndarray, n: int) -> np.ndarray:
    unseen = n - len(np.unique(rows))
    check(
        not unseen, "presentations", "of every stimulus, for this", f"none of {unseen}", "Leave those out of features."
    )
    labels = responses.coords["stimulus_id"].values
    names = np.empty(n, labels.dtype)
    names[rows] = labels
    return names


def write_planted(
    root: str | os.PathLike[str],
    brains: Mapping[int, PlantedBrain],
    *,
    n_shared: int,
    images: Any = None,
    format: str = "nii.gz",
) -> None:
    """Write planted brains in the layout of NSD, so that `read_nsd_betas` and `nsd_trials` read them.

    Parameters
    ----------
    root
        An existing folder.
    brains
        Subject number, from 1 without gaps, to a brain whose stimuli are named as NSD's and whose trials show the same
        rows of features in the same order (`presentations`).
    n_shared
        The first rows of features, shown to everyone.
    images
        (picture, height, width, 3) uint8 by 73k number; None writes none.
    format
        ``"nii.gz"`` or ``"hdf5"``.

    Raises
    ------
    ValueError
        For other names, orders that differ, or sessions of unequal length.

    Examples
    --------
    >>> import tempfile
    >>> from neuroperc.decoding import read_nsd_betas
    >>> folder = tempfile.mkdtemp()
    >>> x = np.random.default_rng(0).normal(size=(12, 8))
    >>> brain = plant_brain(x, regions={"V1": 30}, rank=4, n_sessions=2, rng=0)
    >>> write_planted(folder, {1: brain}, n_shared=3)
    >>> betas = read_nsd_betas(folder, 1, trials_per_session=18)
    >>> bool(abs(betas.values - brain.responses.values).max() <= 0.5 / 300 + 1e-6)
    True
    """
    from .volumes import write_nsd

    check(sorted(brains) == list(range(1, len(brains) + 1)), "brains", "subjects from 1 without gaps", sorted(brains))
    first = brains[1]
    counts = np.unique(first.responses.coords["session"].values, return_counts=True)[1]
    check(len(set(counts.tolist())) == 1, "n_sessions", "a divisor of the number of trials", counts.tolist())
    numbers = []
    for subject, brain in sorted(brains.items()):
        same = np.array_equal(brain.rows, first.rows)
        check(same, "brains", "of one order of trials", f"another for subject {subject}", "Use presentations=.")
        names = _names_by_row(brain.responses, brain.rows, len(brain.features))
        ok = all(n.startswith("nsd") and n[3:].isdigit() for n in names.tolist())
        check(ok, "stimulus_id", "named as NSD's, nsd00001", names[0])
        numbers.append([int(n[3:]) for n in names.tolist()])
    maps = {s: {"ncsnr": b.ncsnr, "regions": _region_codes(b)} for s, b in brains.items()}
    write_nsd(root, {s: b.responses for s, b in brains.items()}, masterordering=first.rows + 1, subjectim=numbers,
              n_shared=n_shared, images=images, maps=maps, trials_per_session=int(counts[0]), format=format)  # type: ignore[arg-type]  # fmt: skip


def _region_codes(brain: PlantedBrain) -> np.ndarray:
    labels = brain.responses.coords["region"].values
    _, first, code = np.unique(labels, return_index=True, return_inverse=True)
    return np.asarray(np.argsort(np.argsort(first))[code] + 1)
