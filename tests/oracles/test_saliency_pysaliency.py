"""Saliency metrics against pysaliency: the same maps, the same fixations, 1e-9."""

import warnings

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.special import logsumexp

from neuroperc import metrics as m

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # pysaliency imports pkg_resources, which warns
    import pysaliency
    from pysaliency import metrics as peer

SIZE = (60, 90)
N = 40


@pytest.fixture(scope="module")
def scene():
    """Three pictures, their maps (one with many ties), and fixations on whole pixels."""
    rng = np.random.default_rng(0)
    maps = np.stack([gaussian_filter(rng.random(SIZE), s) for s in (4, 2, 1)])
    maps[1] = np.round(maps[1], 2)
    stimuli = pysaliency.Stimuli([np.full((*SIZE, 3), k, dtype=np.uint8) for k in range(3)])
    x, y = rng.integers(0, SIZE[1], 3 * N), rng.integers(0, SIZE[0], 3 * N)
    image = rng.permutation(np.repeat(np.arange(3), N))
    fixations = pysaliency.Fixations.create_without_history(x.astype(float), y.astype(float), image)
    return maps, stimuli, fixations, np.c_[x, y].astype(float), image


class Stored(pysaliency.SaliencyMapModel):
    def __init__(self, maps):
        super().__init__()
        self.maps = maps

    def _saliency_map(self, stimulus):
        return self.maps[int(stimulus.flat[0])]


class StoredDensity(pysaliency.Model):
    def __init__(self, maps):
        super().__init__()
        self.maps = maps

    def _log_density(self, stimulus):
        return self.maps[int(stimulus.flat[0])]


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


def test_nss(scene):
    maps, stimuli, fixations, points, image = scene
    close(m.nss(maps, points, image=image), Stored(maps).NSSs(stimuli, fixations))
    constant = np.full(SIZE, 0.25)
    close(m.nss(constant, points), peer.NSS(constant, points[:, 0], points[:, 1]))


@pytest.mark.parametrize("ours, theirs", [("all", "uniform"), ("non_fixated", "unfixated"), ("shuffled", "shuffled")])
def test_auc(scene, ours, theirs):
    maps, stimuli, fixations, points, image = scene
    close(m.auc(maps, points, image=image, negatives=ours), Stored(maps).AUCs(stimuli, fixations, nonfixations=theirs))


def test_auc_of_a_large_map(scene):
    """Large maps go through buckets: smooth, heavy-tailed, with ties, nearly constant."""
    rng = np.random.default_rng(1)
    from pysaliency.roc import general_rocs_per_positive

    smooth = gaussian_filter(rng.random((200, 300)), 5)
    points = np.c_[rng.integers(0, 300, 80), rng.integers(0, 200, 80)].astype(float)
    for values in (smooth, np.exp(60 * smooth), np.round(smooth, 3), 1 + 1e-15 * np.round(20 * rng.random((200, 300)))):
        at = values[points[:, 1].astype(int), points[:, 0].astype(int)]
        close(m.auc(values, points), general_rocs_per_positive(at, values.ravel()))


def test_information_gain_and_log_likelihood(scene):
    maps, stimuli, fixations, points, image = scene
    logs = [np.log(x + 1e-3) for x in (maps, maps[::-1])]
    model, base = (x - logsumexp(x, axis=(1, 2), keepdims=True) for x in logs)
    found = m.information_gain(model, base, points, image=image)
    close(found, StoredDensity(model).information_gains(stimuli, fixations, StoredDensity(base)))
    above = m.log_likelihood(model, points, image=image)
    close(above, StoredDensity(model).information_gains(stimuli, fixations))
    nats = m.log_likelihood(model, points, image=image, above_uniform=False) * np.log(2)
    close(nats, StoredDensity(model).log_likelihoods(stimuli, fixations))


def test_maps_against_maps(scene):
    maps = scene[0]
    signed = maps - maps.mean((1, 2), keepdims=True)
    for a, b in ((maps[0], maps[1]), (signed[2], maps[0]), (maps[1], signed[1])):
        close(m.map_correlation(a, b), peer.CC(a, b))
        close(m.map_similarity(a, b), peer.SIM(a, b))
        close(m.map_divergence(a, b), peer.image_based_kl_divergence(a, b))
        with np.errstate(divide="ignore"):  # the peer takes the logarithm of 0
            expected = peer.MIT_KLDiv(a, b)
        close(m.map_divergence(a, b, minimum=0, regularization=2.2204e-16), expected)
    assert m.map_correlation(np.ones(SIZE), maps[0]) == peer.CC(np.ones(SIZE), maps[0]) == 0


def test_conditional(scene):
    """A map a fixation, as a scanpath model gives."""
    _, stimuli, _, points, image = scene
    rng = np.random.default_rng(2)
    own = np.round(rng.random((len(points), *SIZE)), 2)

    class Conditional(pysaliency.ScanpathSaliencyMapModel):
        def conditional_saliency_map_for_fixation(self, stimuli, fixations, fixation_index, out=None):
            return own[fixation_index]

        def conditional_saliency_map(self, *args, **kwargs):
            raise NotImplementedError

    fixations = pysaliency.Fixations.create_without_history(*points.T, image)
    close(m.nss(own, points), Conditional().NSSs(stimuli, fixations))
    close(m.auc(own, points), Conditional().AUCs(stimuli, fixations))
    close(m.auc(own, points, negatives="non_fixated"), Conditional().AUCs(stimuli, fixations, nonfixations="unfixated"))
    log_density = own - logsumexp(own, axis=(1, 2), keepdims=True)

    class ConditionalDensity(pysaliency.ScanpathModel):
        def conditional_log_density_for_fixation(self, stimuli, fixations, fixation_index, out=None):
            return log_density[fixation_index]

        def conditional_log_density(self, *args, **kwargs):
            raise NotImplementedError

    uniform = np.full(SIZE, -np.log(SIZE[0] * SIZE[1]))
    expected = ConditionalDensity().information_gains(stimuli, fixations)
    close(m.information_gain(log_density, uniform, points), expected)
    close(m.log_likelihood(log_density, points), expected)
