"""Bad input to attacks, robust training and corruptions: the value and the remedy are named."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

import neuroperc as npc
from neuroperc.data import save_image
from neuroperc.encoding import attack_curve, corrupt, corrupt_stimuli, corruption_table, fgsm, fit_robust, pgd, robust
from neuroperc.encoding.robust.folder import crop_box

X, Y = torch.rand(3, 3, 16, 16), torch.tensor([0, 1, 1])
NET = nn.Sequential(nn.Flatten(), nn.Linear(768, 2))


@pytest.mark.parametrize(
    ("images", "labels", "error", "words"),
    [
        (3 * X - 1, Y, ValueError, "Attack pictures before they are normalised"),
        ((255 * X).byte(), Y, TypeError, "Divide 8-bit codes by 255"),
        (X.numpy(), Y, TypeError, "ndarray"),
        (X[0], Y, ValueError, "x\\[None\\]"),
        (X[:, :2], Y, ValueError, "3 channels"),
        (X * float("nan"), Y, ValueError, "NaN"),
        (X, Y[:2], ValueError, "one for each of the 3 images, got \\(2,\\)"),
        (X, Y.float(), TypeError, "whole numbers"),
        (X, -Y, ValueError, "0 or more, got -1"),
        (X, Y + 1, ValueError, "below the 2 classes of the model, got 2"),
    ],
)
def test_pictures_and_labels(images, labels, error, words):
    for attack in (fgsm, pgd):
        with pytest.raises(error, match=words):
            attack(NET, images, labels, eps=0.1, rng=0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"eps": -0.1}, "eps must be a finite number of 0 or more, got -0.1"),
        ({"eps": float("inf")}, "eps must be a finite number"),
        ({"iters": 0}, "iters must be a whole number of at least 1, got 0"),
        ({"restarts": 0}, "restarts must be"),
        ({"norm": "l1"}, "norm must be one of 'linf', 'l2', got l1"),
        ({"step": -1.0}, "step must be"),
        ({"rng": None}, "rng must be an int or a numpy.random.Generator"),
    ],
)
def test_settings_of_attacks(options, words):
    with pytest.raises((ValueError, TypeError), match=words):
        pgd(NET, X, Y, **{"eps": 0.1, "rng": 0} | options)


def test_a_model_that_returns_no_scores():
    with pytest.raises(ValueError, match=r"model's answer must be scores of shape \(batch, classes\)"):
        fgsm(lambda x: x, X, Y, eps=0.1, rng=0)


@pytest.mark.parametrize("eps", [(), (0.1, 0.1), (0.2, 0.1)])
def test_bounds_of_a_curve_ascend(eps):
    with pytest.raises(ValueError, match="ascending order"):
        attack_curve(NET, X, Y, eps=eps, rng=0)


def test_quarter_turns_want_squares():
    with pytest.raises(ValueError, match=r"images must be square, got .*Crop them first"):
        robust.rotate_quarter(X[..., :12], 0)
    with pytest.raises(ValueError, match="batch"):
        robust.rotate_quarter(X[0], 0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"learning_rates": (1e-3,)}, "learning_rates must be two or more"),
        ({"learning_rates": (1e-3, 0)}, "learning_rates must be a finite number above 0"),
        ({"eps": -1.0}, "eps must be"),
        ({"grayscale_share": 1.5}, "grayscale_share must be in \\[0, 1\\], got 1.5"),
        ({"weight_decay": -1.0}, "weight_decay must be"),
        ({"batch_size": 0}, "batch_size must be"),
    ],
)
def test_settings_of_training(options, words):
    with pytest.raises(ValueError, match=words):
        fit_robust(NET, (X, Y), **options)


def test_training_wants_codes():
    with pytest.raises(ValueError, match="sRGB codes in"):
        fit_robust(NET, (5 * X, Y))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kind": "rain"}, "kind must be one of 'gaussian_noise'.*got rain"),
        ({"severity": 0}, "severity must be a whole number of at least 1, got 0"),
        ({"severity": 6}, "severity must be 1 to 5, got 6"),
        ({"severity": 2.5}, "severity must be a whole number"),
        ({"published": "mnist"}, "published must be one of"),
        ({"ids": ["a"]}, "ids must be one for each of the 3 images, got 1"),
        ({"rng": None}, "rng must be"),
        ({"images": X[..., :7]}, "images must be at least 8 px a side"),
        ({"images": 2 * X}, "sRGB codes in"),
    ],
)
def test_settings_of_corruptions(options, words):
    with pytest.raises((ValueError, TypeError), match=words):
        corrupt(**{"images": X, "kind": "fog", "severity": 1, "rng": 0} | options)


def test_the_table_refuses_before_it_works():
    def never(_):
        raise AssertionError

    with pytest.raises(ValueError, match="kind must be one of"):
        corruption_table(never, X, Y, kinds=["fog", "rain"], rng=0)
    with pytest.raises(ValueError, match="one for each of the 3 images"):
        corruption_table(never, X, Y[:1], rng=0)


def test_movies_are_not_corrupted():
    display = npc.Display.from_px_per_deg(8, resolution_px=(16, 16))
    movie = npc.StimulusSet.from_arrays(np.zeros((1, 4, 1, 16, 16), np.float32), display=display, fps=24.0)
    with pytest.raises(ValueError, match="stimuli must be pictures, got movies"):
        corrupt_stimuli(movie, "fog", 1, rng=0)


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("b_cat", "a_dog"):
        (tmp_path / name).mkdir()
        for k, shape in enumerate(((30, 40), (50, 20))):
            save_image(rng.uniform(size=(1 if k else 3, *shape)), tmp_path / name / f"{k}.png")
    return tmp_path


def test_a_folder_of_classes(folder):
    data = robust.PictureFolder(folder, crop="center", size_px=16, resize_px=20)
    assert data.classes == ["a_dog", "b_cat"] and len(data) == 4
    shapes = {tuple(x.shape) for x, _ in (data[k] for k in range(4))}
    assert shapes == {(3, 16, 16)} and [data[k][1] for k in range(4)] == [0, 0, 1, 1]
    crops = robust.PictureFolder(folder, size_px=16, resize_px=16)
    torch.manual_seed(0)
    first = crops[0][0]
    torch.manual_seed(0)
    assert torch.equal(first, crops[0][0]) and not torch.equal(first, crops[0][0])
    assert first.min() >= 0 and first.max() <= 1
    net = nn.Sequential(nn.Flatten(), nn.Linear(768, 2))
    assert fit_robust(net, crops, learning_rates=(1e-3, 1e-3), batch_size=2).steps == 2


def test_bad_folders(tmp_path, folder):
    with pytest.raises(ValueError, match=r"folder must be an existing folder.*nowhere"):
        robust.PictureFolder(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="two classes or more"):
        robust.PictureFolder(folder / "a_dog")
    (folder / "c_empty").mkdir()
    with pytest.raises(ValueError, match="c_empty without any"):
        robust.PictureFolder(folder)
    with pytest.raises(ValueError, match="resize_px must be at least size_px = 32, got 16"):
        robust.PictureFolder(folder, size_px=32, resize_px=16)


def test_random_crops_have_the_published_areas_and_shapes():
    rng = np.random.default_rng(0)
    boxes = np.array([crop_box(400, 400, rng) for _ in range(2000)])
    top, left, h, w = boxes.T
    assert bool(((top >= 0) & (left >= 0) & (top + h <= 400) & (left + w <= 400)).all())
    area, ratio = h * w / 160000, np.log(w / h)
    assert area.min() > 0.078 and area.max() <= 1 and abs(ratio).max() < np.log(4 / 3) + 0.02
    small = area < 0.74  # these fit at any aspect ratio, so that none was drawn again
    assert stats.kstest(area[small], stats.uniform(0.08, 0.66).cdf).pvalue > 1e-3
    assert stats.kstest(ratio[small], stats.uniform(-np.log(4 / 3), 2 * np.log(4 / 3)).cdf).pvalue > 1e-3
    assert crop_box(10, 4000, np.random.default_rng(0)) == (0, 1995, 10, 10)  # nothing fits: the central square


WORKER = """
import json, os, sys, torch
from neuroperc.encoding import fit_robust
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
x = torch.rand(45, 3, 4, 4, generator=torch.Generator().manual_seed(7))
result = fit_robust(model, (x, torch.arange(45) % 3), learning_rates=(1e-2, 2e-2, 1e-2), batch_size=5, eps=0.03)
weights = torch.cat([p.detach().flatten() for p in model.parameters()]).tolist()
with open(f"rank{os.environ['RANK']}.json", "w") as file:
    json.dump({"weights": weights, "rates": result.history["learning_rate"].tolist(), "steps": result.steps}, file)
"""


@pytest.mark.slow
def test_two_processes_attack_and_agree(tmp_path):
    (tmp_path / "worker.py").write_text(WORKER)
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2",
              "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no",
              "--num_cpu_threads_per_process", "1", "--main_process_port", "0", "worker.py"]  # fmt: skip
    done = subprocess.run(launch, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (json.loads((tmp_path / f"rank{k}.json").read_text()) for k in (0, 1))
    assert first == second and first["steps"] == 10  # two epochs of 45 items in batches of 10
    np.testing.assert_allclose(first["rates"][::5], [1e-2, 2e-2])


def test_a_class_that_is_masked_is_never_told():
    class Masked(nn.Module):
        def forward(self, x):
            means = x.mean((1, 2, 3))
            return torch.stack([means, 1 - means, torch.full_like(means, -torch.inf)], 1)

    curve = attack_curve(Masked(), X, (X.mean((1, 2, 3)) < 0.5).long(), eps=[0], rng=0)
    assert float(curve["accuracy"].iloc[0]) == 1
    with pytest.raises(ValueError, match=r"model's answer must be free of NaN, got 3 NaN\. NaN is no class"):
        attack_curve(lambda x: x.mean((2, 3))[:, :1] * torch.nan, X, Y * 0, eps=[0], rng=0)
