"""Every experiment's smoke profile runs and its claims are judged; whether they hold is for the ledger to say."""

from pathlib import Path

import pytest

from neuroperc.experiment import run_experiment

FOLDER = Path(__file__).parents[1] / "experiments"


@pytest.mark.slow
@pytest.mark.parametrize("script", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_smoke_profile(script, tmp_path):
    result = run_experiment(script, profile="smoke", out=tmp_path)
    assert (tmp_path / f"{script.stem}.smoke.json").stat().st_size > 500
    assert (tmp_path / f"{script.stem}.smoke.png").stat().st_size > 5000
    assert result.claims
    assert all(isinstance(claim.holds, bool) for claim in result.claims if claim.ours is not None)
