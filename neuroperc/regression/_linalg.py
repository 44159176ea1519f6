"""Eigenvectors with one LAPACK thread, and the array namespace of what came in."""

from __future__ import annotations

from functools import cache
from typing import Any

import array_api_compat
import numpy as np
from threadpoolctl import ThreadpoolController

# Above this size one eigenvector is found by Lanczos, below it all of them at once are cheaper.
_ALL_AT_ONCE = 256


@cache
def _threads() -> ThreadpoolController:
    return ThreadpoolController()


def namespace(*arrays: Any) -> Any:
    """Return the array-API namespace of NumPy or torch arrays."""
    return array_api_compat.array_namespace(*arrays)


def eigh(matrix: Any) -> tuple[Any, Any]:
    """Return ascending eigenvalues and eigenvectors of symmetric (..., n, n).

    On the CPU NumPy does it with one thread: two LAPACK threads can cost fifty times as much on small machines.
    """
    xp = namespace(matrix)
    if array_api_compat.is_torch_array(matrix):
        if matrix.device.type != "cpu":
            found = xp.linalg.eigh(matrix)
            return found[0], found[1]
        values, vectors = eigh(matrix.numpy())
        return xp.asarray(values), xp.asarray(vectors)
    with _threads().limit(limits=1, user_api="blas"):
        return np.linalg.eigh(matrix)


def solve(matrix: Any, right: Any) -> Any:
    """Return the solution of (..., n, n) x = (..., n, t); on the CPU with one LAPACK thread."""
    if array_api_compat.is_torch_array(matrix):
        return namespace(matrix).linalg.solve(matrix, right)
    with _threads().limit(limits=1, user_api="blas"):
        return np.linalg.solve(matrix, right)


def inv(matrix: Any) -> Any:
    """Return the inverses of (..., n, n); on the CPU with one LAPACK thread."""
    if array_api_compat.is_torch_array(matrix):
        return namespace(matrix).linalg.inv(matrix)
    with _threads().limit(limits=1, user_api="blas"):
        return np.linalg.inv(matrix)


def cpu(x: Any) -> Any:
    """Return a tensor as a NumPy array, and anything else as it is."""
    return x.detach().cpu().numpy() if array_api_compat.is_torch_array(x) else x


def to(x: Any, device: Any, dtype: str = "float64") -> Any:
    """Return x as NumPy (device None) or as torch on the device, without a copy where none is needed."""
    if device is None:
        return np.asarray(cpu(x), dtype=dtype)
    import torch

    read_only = isinstance(x, np.ndarray) and not x.flags.writeable
    return torch.as_tensor(np.array(x) if read_only else x).to(device=device, dtype=getattr(torch, dtype))


def leading_eigenvector(matrix: Any) -> Any:
    """Return the eigenvector (..., n) of the largest eigenvalue of symmetric positive (..., n, n)."""
    on_cpu = not array_api_compat.is_torch_array(matrix) or matrix.device.type == "cpu"
    if matrix.shape[-1] <= _ALL_AT_ONCE or not on_cpu:
        return eigh(matrix)[1][..., -1]
    xp = namespace(matrix)
    flat = np.asarray(matrix).reshape(-1, *matrix.shape[-2:])
    return xp.asarray(np.stack([_lanczos(one) for one in flat]).reshape(matrix.shape[:-1]))


def _lanczos(matrix: np.ndarray) -> np.ndarray:
    from scipy.sparse.linalg import ArpackError, eigsh

    if not matrix.any():
        return np.eye(len(matrix))[-1]
    try:
        # The column of the largest diagonal entry is never orthogonal to the leading eigenvector in practice.
        found: np.ndarray = eigsh(matrix, k=1, tol=0, v0=matrix[:, np.argmax(np.diagonal(matrix))])[1][:, 0]
    except ArpackError:
        return eigh(matrix)[1][:, -1]
    return found
