"""Scores against Brain-Score's recipe written out, rsatoolbox, scikit-learn's kappa, and an i2n signature by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from sklearn.cross_decomposition import PLSRegression
from sklearn.metrics import cohen_kappa_score
from sklearn.model_selection import StratifiedShuffleSplit

import neuroperc as npc
from neuroperc.encoding import benchmark, error_consistency, human_i2n, i2n, i2n_ceiling, model_i2n, rsa
from neuroperc.encoding.rsa import dual_variance
from neuroperc.metrics import rdm


def test_brain_scores_recipe_written_out():
    rng = np.random.default_rng(0)
    names = np.array([f"p{i:02d}" for i in range(80)])
    kinds = np.array(["face", "car", "dog", "boat"])[np.arange(80) % 4]
    x = rng.normal(size=(80, 60))
    truth = x[:, :6] @ rng.normal(size=(6, 10))
    trials = truth[None] + 2 * rng.normal(size=(6, 80, 10))
    v4 = npc.data.make_responses(
        trials.reshape(-1, 10), stimulus_id=np.tile(names, 6), repetition=np.repeat(range(6), 80),
        coords={"object_name": ("presentation", np.tile(kinds, 6))},
    )  # fmt: skip
    layers = npc.data.make_responses(x, stimulus_id=names, layer="conv")
    scores = {rule: benchmark(layers, v4, stratify="object_name", n_components=10, rule=rule, rng=1)
              for rule in ("brainscore-2025", "brainscore-2026")}  # fmt: skip
    mean = trials.mean(axis=0)
    raw = []
    for train, test in StratifiedShuffleSplit(10, test_size=0.1, random_state=1).split(np.zeros(80), kinds):
        fitted = PLSRegression(10, scale=False, tol=1e-14, max_iter=100_000).fit(x[train], mean[train])
        raw.append([np.corrcoef(fitted.predict(x[test])[:, i], mean[test][:, i])[0, 1] for i in range(10)])
    raw = np.array(raw)
    for found in scores.values():
        np.testing.assert_allclose(found.raw[0], raw, atol=1e-4)
        ceiling = np.median(found.ceiling, axis=1).mean()
    r = np.median(raw, axis=1).mean()
    assert float(scores["brainscore-2026"].aggregate[0]) == pytest.approx(r**2 / ceiling, abs=1e-4)
    assert float(scores["brainscore-2025"].aggregate[0]) == pytest.approx((r / ceiling) ** 2, abs=1e-4)
    sem = np.median(raw, axis=1).std() / 10**0.5
    assert float(scores["brainscore-2026"].brainscore_sem[0]) == pytest.approx(sem, abs=1e-4)
    assert scores["brainscore-2026"].ceiling.shape == (10, 10)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("method", "theirs"), [("spearman", "spearman"), ("pearson", "corr"), ("cosine", "cosine")])
def test_rsa_is_rsatoolboxes(method, theirs):
    import rsatoolbox

    rng = np.random.default_rng(0)
    shared = rng.normal(size=(15, 40))
    people = rdm(shared + rng.normal(size=(6, 15, 40)))
    models = {"a": rdm(shared), "b": rdm(rng.normal(size=(15, 40)))}
    found = rsa(models, people, method=method, n_resamples=1000, rng=0)
    data = rsatoolbox.rdm.RDMs(people)
    fixed = [rsatoolbox.model.ModelFixed(name, matrix) for name, matrix in models.items()]
    peer = rsatoolbox.inference.eval_fixed(fixed, data, method=theirs)
    np.testing.assert_allclose(found.agreement, peer.evaluations[0], atol=1e-10)
    bounds = rsatoolbox.inference.boot_noise_ceiling(data, method=theirs)
    np.testing.assert_allclose([found.lower, found.upper], bounds, atol=1e-10)
    np.random.seed(0)  # noqa: NPY002 - what the peer draws from
    drawn = rsatoolbox.inference.eval_dual_bootstrap(fixed, data, method=theirs, k_pattern=1, k_rdm=1, N=300)
    theirs_sem = np.sqrt(drawn.model_var)
    half = (found.interval[:, 1] - found.score).values
    from scipy.stats import t

    # Both draw at random, so their standard errors agree as well as 300 draws allow.
    np.testing.assert_allclose(half / t.ppf(0.975, 5), theirs_sem, rtol=0.15)


def test_the_two_factor_variance_is_rsatoolboxes():
    from rsatoolbox.util.inference_util import _dual_bootstrap

    draws = np.random.default_rng(0).normal(size=(3, 4, 50)) * np.array([1.3, 1.0, 0.7])[:, None, None]
    expected = [_dual_bootstrap(draws.var(axis=-1, ddof=1)[:, i], n_rdm=6, n_pattern=15) for i in range(4)]
    np.testing.assert_allclose(dual_variance(draws, 6, 15), expected, atol=1e-12)


def test_resamples_of_one_category_leave_the_interval():
    """Ten objects of two categories: some resamples hold one of them only, and have no correlation."""
    rng = np.random.default_rng(0)
    kind = np.arange(10) % 2
    model = (kind[:, None] != kind).astype(float)
    people = np.stack([rdm(rng.normal(size=(10, 30)) + np.outer(kind, np.ones(30))) for _ in range(4)])
    for method in ("spearman", "pearson"):
        found = rsa({"kinds": model}, people, method=method, n_resamples=2000, rng=0)
        low, high = found.interval.values[0]
        assert low < found.score[0] < high and high - low < 1
        far = rsa({"kinds": 1e13 * model}, 1e13 * people, method=method, n_resamples=2000, rng=0)
        np.testing.assert_allclose(far.interval, found.interval, atol=1e-6)
        few = rsa({"kinds": people[0][:6, :6] + 0.3}, people[:, :6, :6], method=method, n_resamples=2000, rng=0)
        assert np.isfinite(few.interval).all()


def test_rsa_makes_the_matrices_of_layers_in_the_subjects_order():
    import xarray as xr

    rng = np.random.default_rng(0)
    names = np.array([f"p{i:02d}" for i in range(12)])
    x = rng.normal(size=(12, 50))
    layers = npc.data.make_responses(x[::-1], stimulus_id=names[::-1], layer=["a"] * 20 + ["b"] * 30)
    people = xr.DataArray(
        rdm(x[:, :20])[None], dims=("subject", "stimulus", "other"), coords={"stimulus_id": ("stimulus", names)}
    )
    found = rsa(layers, people, n_resamples=20, rng=0)
    assert found.score.values[0] == pytest.approx(1)
    assert np.isnan(found.lower)
    np.testing.assert_allclose(found.score[1], float(npc.metrics.rdm_agreement(rdm(x[:, 20:]), rdm(x[:, :20]))))


def test_i2n_by_hand():
    objects = ["cat", "dog", "car"]
    truth = ["cat", "cat", "dog", "car"]
    p = np.array([[0.6, 0.3, 0.1], [0.4, 0.4, 0.2], [0.3, 0.5, 0.2], [0.1, 0.2, 0.7]])
    wrong = {("0", "dog"): 3 / 9, ("0", "car"): 1 / 7, ("1", "dog"): 1 / 2, ("1", "car"): 2 / 6,
             ("2", "cat"): 3 / 8, ("2", "car"): 2 / 7, ("3", "cat"): 1 / 8, ("3", "dog"): 2 / 9}  # fmt: skip
    # A false alarm for (cat, dog): "cat" chosen for pictures of dogs; and so on.
    alarm = {("cat", "dog"): 3 / 8, ("cat", "car"): 1 / 8, ("dog", "cat"): (3 / 9 + 1 / 2) / 2, ("dog", "car"): 2 / 9,
             ("car", "cat"): (1 / 7 + 2 / 6) / 2, ("car", "dog"): 2 / 7}  # fmt: skip
    expected = np.full((4, 3), np.nan)
    for (image, other), share in wrong.items():
        expected[int(image), objects.index(other)] = norm.ppf(1 - share) - norm.ppf(alarm[truth[int(image)], other])
    for other in (1, 2):
        expected[:2, other] -= expected[:2, other].mean()
    expected[2, [0, 2]] = expected[3, [0, 1]] = 0  # one picture of its object: nothing above the object's mean
    found = model_i2n(p, truth, objects=objects)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    rows = []
    for (image, other), share in wrong.items():
        n_wrong = round(share * 504)  # 504 is divisible by 2, 6, 7, 8 and 9
        for choice, n in ((other, n_wrong), (truth[int(image)], 504 - n_wrong)):
            rows += [{"stimulus_id": image, "sample_obj": truth[int(image)], "dist_obj": other, "choice": choice}] * n
    trials = pd.DataFrame(rows)
    labels = {"images": ["0", "1", "2", "3"], "truth": truth, "objects": objects}
    human = human_i2n(trials, **labels)
    np.testing.assert_allclose(human, expected, atol=1e-12)
    assert i2n(found, human) == pytest.approx(1)
    assert i2n(found, -human) == pytest.approx(-1)
    halves = i2n_ceiling(trials, n_splits=4, rng=0, **labels)
    assert halves.shape == (4,) and np.median(halves) > 0.7
    never = human_i2n(trials[~((trials.stimulus_id == "0") & (trials.dist_obj == "dog"))], **labels)
    assert np.isnan(never[0, 1]) and np.isfinite(i2n(never, found))
    certain = model_i2n(np.array([[1.0, 0.0], [0.8, 0.2], [0.3, 0.7]]), [0, 0, 1])
    alarm = norm.ppf(0.3)  # "0" chosen for the picture of 1; false alarms count through the cap of d' at 5 only
    np.testing.assert_allclose(certain[:2, 1], np.array([0.5, -0.5]) * (5 - (norm.ppf(0.8) - alarm)), atol=1e-12)


def test_error_consistency_is_kappa():
    rng = np.random.default_rng(0)
    a, b = rng.random((3, 200)) < 0.7, rng.random((3, 200)) < 0.6
    expected = [cohen_kappa_score(x, y) for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(error_consistency(a, b), expected, atol=1e-12)
    assert np.isnan(error_consistency([1, 1], [1, 1]))
    with pytest.raises(ValueError, match="first must be"):
        error_consistency([0.5, 1], [1, 1])


def offered(**changed):
    trials = pd.DataFrame({"stimulus_id": ["a"] * 3, "sample_obj": "dog", "dist_obj": "cat", "choice": "dog"})
    return human_i2n(trials.assign(**changed), images=["a", "b"], truth=["dog", "cat"], objects=["cat", "dog"])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: model_i2n([[0.5, 0.5]], [2]), "truth must be among"),
        (lambda: model_i2n([[-0.5, 0.5]], [0]), "probabilities must be 0 or more"),
        (lambda: human_i2n(pd.DataFrame({"choice": []}), images=[], truth=[], objects=[]), "without stimulus_id"),
        (lambda: i2n(np.zeros((2, 2)), np.zeros((3, 2))), "of one shape"),
        (lambda: rsa({"a": np.zeros((5, 5))}, np.zeros((2, 6, 6)), rng=0), r"layer a must be a matrix \(6, 6\)"),
        (lambda: rsa({"a": np.zeros((3, 3))}, np.zeros((2, 3, 3)), rng=0), "4 or more stimuli"),
        (lambda: rsa({"a": np.arange(25.0).reshape(5, 5)}, np.zeros((2, 5, 5)), rng=0), "layer a must be symmetric"),
        (lambda: rsa({"a": np.zeros((5, 5))}, np.arange(25.0).reshape(5, 5), rng=0), "subjects must be symmetric"),
        (lambda: error_consistency(np.ones((3, 4)), np.ones((2, 4))), "of the same trials"),
        (lambda: model_i2n([[np.nan, 0.5]], [0]), "probabilities must be finite"),
        (lambda: model_i2n(np.zeros((0, 3)), []), "1 or more images"),
        (lambda: offered(choice="fish"), r"trials.choice must be one of the two offered, got \['fish'"),
        (lambda: offered(choice=np.nan), r"trials.choice .*got \[nan.*Leave trials without an answer out"),
        (lambda: offered(sample_obj="cat"), "trials.sample_obj must be the object of the trial's picture"),
        (lambda: offered(dist_obj="dog"), "trials.dist_obj must be another object than the one shown"),
    ],
)  # fmt: skip
def test_bad_input_names_the_value(call, words):
    with pytest.raises(ValueError, match=words):
        call()
