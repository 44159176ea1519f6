"""The Triton kernel in Triton's own interpreter, on the CPU, against the plain sums and a dense matrix."""

import os
import subprocess
import sys

import pytest

SCRIPT = """
import torch
from neuroperc.foveation import _sparse
from neuroperc.foveation._triton import row_sums
generator = torch.Generator().manual_seed(0)
for n_rows, n, m, dtype in ((40, 300, 1, torch.float64), (5, 700, 3, torch.float32), (300, 9, 20, torch.float64)):
    dense = torch.rand(n_rows, n, dtype=dtype, generator=generator)
    dense[dense < 0.7] = 0
    dense[3] = 0  # a row without entries
    kept = dense != 0
    pointers = torch.nn.functional.pad(kept.sum(1).cumsum(0), (1, 0)).int()
    matrix = pointers, kept.nonzero()[:, 1].int(), dense[kept]
    x = torch.rand(m, n, dtype=dtype, generator=generator)
    tolerance = {"rtol": 1e-12, "atol": 1e-12} if dtype == torch.float64 else {"rtol": 1e-5, "atol": 1e-5}
    torch.testing.assert_close(row_sums(*matrix, x), x @ dense.T, **tolerance)
    torch.testing.assert_close(_sparse.row_sums(*matrix, x), x @ dense.T, **tolerance)
print("equal")
"""


def test_equals_the_plain_sums():
    pytest.importorskip("triton", reason="PyTorch brings Triton on Linux only")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=os.environ | {"TRITON_INTERPRET": "1"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == "equal"
