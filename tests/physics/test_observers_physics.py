"""A fovea before a network, partners a layer cannot tell apart, intervals that cover, and what inversion obeys."""

import json

import numpy as np
import pytest
import torch
from torch import nn

import neuroperc as npc
from neuroperc.encoding import compare_stimuli, invert
from neuroperc.encoding.inversion import total_variation
from neuroperc.foveation import FoveatedBlur
from neuroperc.recording import list_cache


def shown(n=3, side=64, size_deg=8.0, seed=0):
    rng = np.random.default_rng(seed)
    display = npc.Display.from_px_per_deg(side / size_deg, resolution_px=(side, side))
    return npc.StimulusSet.from_arrays(rng.random((n, 3, side, side), dtype=np.float32), display=display)


def network():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 5, stride=3), nn.Softplus(), nn.Conv2d(4, 4, 3)).eval()
    return npc.nets.Net(net, npc.nets.Preprocess(size_px=48))


def test_acts_are_those_of_pictures_foveated_by_hand():
    pictures, net, gaze = shown(), network(), (2.0, -1.5)
    blur = FoveatedBlur(pictures.display, model="half_resolution")
    one_argument = npc.record(net, pictures, ["0", "2"], foveate=blur, fixation_deg=gaze)
    with torch.no_grad():
        images = torch.stack([pictures[i] for i in range(3)])
        by_hand = blur(images, torch.tensor(gaze))
    made = npc.StimulusSet.from_arrays(by_hand, display=pictures.display, ids=pictures.ids)
    np.testing.assert_allclose(one_argument.values, npc.record(net, made, ["0", "2"]).values, atol=2e-5)
    # The gaze may be the front end's own, and the front end may stand before the network.
    own = FoveatedBlur(pictures.display, model="half_resolution", fixation_deg=gaze)
    np.testing.assert_allclose(
        npc.record(net, pictures, ["0", "2"], foveate=own).values, one_argument.values, atol=2e-5
    )
    sequence = npc.record(nn.Sequential(own, net), pictures, ["1.net.0", "1.net.2"], preprocess=None)
    np.testing.assert_allclose(sequence.values, one_argument.values, atol=2e-5)
    assert np.abs(npc.record(net, pictures, ["0", "2"]).values - one_argument.values).max() > 0.01


def test_the_cache_knows_the_gaze_the_field_and_the_front_end(tmp_path):
    net = network()

    def kept(size_deg=8.0, gaze=(1.0, 0.0), own=(0.0, 0.0), half=2.3, foveated=True):
        pictures = shown(size_deg=size_deg)
        blur = FoveatedBlur(pictures.display, model="half_resolution", half_resolution_deg=half, fixation_deg=own)
        looking = {"foveate": blur, "fixation_deg": gaze} if foveated else {}
        answers = npc.record(net, pictures, "2", store=tmp_path, **looking).values
        return len(list_cache(tmp_path)), answers

    n, first = kept()
    assert n == 1
    n, again = kept()  # the same in new objects: found
    assert n == 1 and np.array_equal(first, again)
    changes = [{"gaze": (1.5, 0.0)}, {"gaze": None}, {"gaze": None, "own": (1.0, 0.0)}, {"size_deg": 16.0},
               {"half": 1.0}, {"foveated": False}]  # fmt: skip
    for i, change in enumerate(changes):
        n, other = kept(**change)
        assert n == 2 + i, change
        # A default gaze gives the same answers as that gaze asked for; everything else gives others.
        assert (np.abs(other - first).max() > 1e-4) != ("own" in change), change


def test_a_wider_field_loses_more():
    net = network()
    loss = []
    for size_deg in (2.0, 8.0, 32.0):
        pictures = shown(size_deg=size_deg)
        blur = FoveatedBlur(pictures.display, model="half_resolution")
        plain, seen = (npc.record(net, pictures, "0", foveate=front).values for front in (None, blur))
        loss.append(float(np.square(plain - seen).mean()))
    assert loss[0] < 0.5 * loss[1] < 0.25 * loss[2] * 2


class _Spectrum(nn.Module):
    """Magnitudes of the Fourier transform: all that a shift around the edges leaves alone."""

    def forward(self, x):
        return torch.fft.rfft2(x).abs().flatten(1)


def test_a_layer_that_keeps_what_was_matched_cannot_tell_partners_apart():
    pictures = shown(n=8)
    images = torch.stack([pictures[i] for i in range(8)])
    moved = npc.StimulusSet.from_arrays(torch.roll(images, (7, 12), (-2, -1)), display=pictures.display,
                                        ids=[f"moved{i}" for i in range(8)])  # fmt: skip
    net = nn.Sequential(nn.Identity(), _Spectrum())
    both = [npc.record(net, s, ["0", "1"], preprocess=None, dtype="float64") for s in (pictures, moved)]
    units = npc.data.make_responses(
        np.concatenate([b.values for b in both]), stimulus_id=[*pictures.ids, *moved.ids], layer=both[0]["layer"].values
    )
    found = compare_stimuli(units, pictures, moved, rng=0)
    assert found.layer.values.tolist() == ["0", "1"]
    assert float(found.relative[0]) == pytest.approx(1, abs=0.05)  # white noise: moved is another picture
    assert float(found.relative[1]) < 1e-6 and float(found.rdm_agreement[1]) > 1 - 1e-6
    low, high = found.relative_interval.values[0]
    assert low < 1 < high and found.relative_interval.attrs["of"] == "95 % interval over pictures"


@pytest.mark.slow
def test_intervals_over_pictures_cover():
    """Partners of known correlation: the interval of the mean distance holds the truth in 91 to 98 % of 200 runs."""
    n, p, hits = 25, 60, 0
    for run in range(200):
        rng = np.random.default_rng(run)
        first, share = rng.normal(size=(n, p)), rng.uniform(0.2, 0.8, size=(n, 1))
        second = share * first + (1 - share**2) ** 0.5 * rng.normal(size=(n, p))
        ids = [f"o{i}" for i in range(n)], [f"m{i}" for i in range(n)]
        units = npc.data.make_responses(np.concatenate([first, second]), stimulus_id=ids[0] + ids[1])
        low, high = compare_stimuli(units, *ids, n_resamples=150, rng=run).distance_interval.values[0]
        hits += low < 0.5 + 0.5 * 0.5 * (1 - 0.28) / p < high  # E[r] is about rho - rho (1 - rho²) / 2p
    assert 0.91 <= hits / 200 <= 0.98


def test_inversion_obeys_its_constraints():
    net = network()
    pictures = shown(n=2, side=48)
    target, start = pictures[0], pictures[1]
    near = invert(net, target, "2", init=start, steps=40, max_change=0.05)
    change = float((near.image - start).square().mean().sqrt())
    assert change == pytest.approx(0.05, rel=1e-3) and float(near.loss[-1]) < float(near.loss[0])
    few, wide = (invert(net, target, "2", init=start, steps=3, max_change=m).image for m in (None, 10.0))
    torch.testing.assert_close(few, wide)  # a ball that holds all pictures changes nothing
    free = invert(net, target, "2", init=start, steps=40)
    assert float(free.loss[-1]) < float(near.loss[-1])
    assert float(free.residuals["2"]) < 0.3 < float(free.residuals["picture"])  # another picture, the same answers
    smooth = invert(net, target, "2", init=start, steps=40, tv=1.0)
    variation = [float(total_variation(made.image[None])[0]) for made in (free, smooth)]
    assert variation[1] < 0.5 * variation[0]
    assert near.settings["layer"] == "2" and json.dumps(near.settings)


def test_jittered_inversions_are_repeatable_and_end_unshifted():
    net, target = network(), shown(n=1, side=48)[0]
    one, two = (invert(net, target, "0", steps=15, jitter_px=3, rng=1) for _ in range(2))
    assert torch.equal(one.image, two.image)
    with torch.no_grad():
        answers = [net.net[0](net.preprocess(x[None])).flatten() for x in (one.image, target)]
    error = float((answers[0] - answers[1]).square().sum() / answers[1].square().sum())
    assert float(one.loss[-1]) == pytest.approx(error, rel=1e-3)
    assert not torch.equal(one.image, invert(net, target, "0", steps=15, rng=1).image)
