"""Voxel-wise ridge and MindEye on a GPU give the numbers of the CPU. Not run where there is no device."""

import numpy as np
import pytest

from neuroperc.data import make_responses
from neuroperc.decoding import MindEye, encode_voxels, voxel_weights

pytestmark = pytest.mark.gpu
RNG = np.random.default_rng(0)
IDS = np.repeat(np.arange(60), 2)
X = RNG.normal(size=(60, 90))[IDS]
VOXELS = make_responses(X[:, :40] @ RNG.normal(size=(40, 50)) + 4 * RNG.normal(size=(120, 50)), stimulus_id=IDS)
PICTURES = RNG.normal(size=(48, 3, 8))
BETAS = PICTURES.reshape(48, 24) @ RNG.normal(size=(24, 30)) + RNG.normal(size=(48, 30))
SMALL = {"width": 32, "n_blocks": 1, "projector_width": 16, "prior_depth": 1, "prior_heads": 2, "prior_head_dims": 4,
         "prior_steps": 10, "epochs": 8, "batch_size": 16}  # fmt: skip


@pytest.mark.parametrize("function", [encode_voxels, voxel_weights])
def test_voxels_are_fitted_as_by_numpy(function):
    here, there = (function(X, VOXELS, device=device, voxels_per_batch=20) for device in (None, "cuda"))
    for name in here:
        np.testing.assert_allclose(there[name], here[name], rtol=1e-6, atol=1e-6 * abs(here[name]).max(), err_msg=name)


def test_mindeye_trains_on_the_device_and_draws_what_the_cpu_draws():
    """Without dropout all that is random comes from NumPy, so only rounding is different."""
    still = {"entry_dropout": 0.0, "block_dropout": 0.0}
    here, there = (MindEye(**SMALL, **still, device=device).fit(BETAS, PICTURES) for device in ("cpu", "cuda"))
    assert {parameter.device.type for parameter in there.network_.parameters()} == {"cuda"}
    np.testing.assert_allclose(there.history_.history["loss"], here.history_.history["loss"], rtol=1e-2)
    for found, wanted in (
        (there.project(BETAS), here.project(BETAS)),
        (there.predict(BETAS, n_samples=2, rng=1), here.predict(BETAS, n_samples=2, rng=1)),
    ):
        assert np.corrcoef(found.ravel(), wanted.ravel())[0, 1] > 0.999


def test_mindeye_trains_and_draws_in_half_precision():
    model = MindEye(**SMALL, device="cuda", mixed_precision="fp16").fit(BETAS, PICTURES)
    drawn = model.predict(BETAS, n_samples=2, guidance=1.5)
    assert drawn.shape == PICTURES.shape and np.isfinite(drawn).all()
    np.testing.assert_allclose(np.linalg.norm(drawn[:, 0], axis=-1), 1, rtol=1e-5)
    assert model.history_.history["loss"][-1] < model.history_.history["loss"][0]
