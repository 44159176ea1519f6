"""A sparse matrix whose rows are pixels, both ways: gather (pixels from nodes) and scatter (nodes from pixels).

On the CPU scipy's compiled loops do the work (custom operators, so that `torch.compile` and autograd see through them);
on other devices the same sums are segment reductions over sorted entries, repeatable bit for bit.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from scipy.sparse import _sparsetools as csr  # the loops behind csr_array @ x, without building arrays around them
from torch import Tensor

#: Entries below which a second thread costs more than it saves.
_WORTH_A_THREAD = 1 << 21


def _runs(pointers: np.ndarray) -> list[slice]:
    """One run of pixels a thread, with about as many entries each; scipy's loops let other threads run."""
    n_rows, n_threads = len(pointers) - 1, torch.get_num_threads()
    if n_threads == 1 or int(pointers[-1]) < _WORTH_A_THREAD:
        return [slice(0, n_rows)]
    edges = np.searchsorted(pointers, np.linspace(0, int(pointers[-1]), n_threads + 1)[1:-1])
    bounds = [0, *(int(edge) for edge in edges), n_rows]
    return [slice(a, b) for a, b in pairwise(bounds) if b > a]


@functools.cache
def _pool(n_threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(n_threads, thread_name_prefix="neuroperc")


def _each(function: Callable[[slice], Any], runs: list[slice]) -> list[Any]:
    return [function(runs[0])] if len(runs) == 1 else list(_pool(len(runs)).map(function, runs))


#: Columns that scipy's loop over several takes at a time; it is slower than one after the other for fewer.
_TOGETHER = 8
#: Entries a row from which MKL's vectorised product is the faster one.
_LONG_ROW = 64


def _parts(m: int) -> list[slice]:
    """Columns to be worked on together: eights, then one by one."""
    whole = m - m % _TOGETHER
    return [slice(i, i + _TOGETHER) for i in range(0, whole, _TOGETHER)] + [slice(i, i + 1) for i in range(whole, m)]


def _gather(pointers: Tensor, columns: Tensor, values: Tensor, nodes: Tensor) -> Tensor:
    """(m, n_nodes) values at nodes to (m, n_rows) weighted sums at pixels."""
    (m, n_nodes), n_rows = nodes.shape, len(pointers) - 1
    if torch.backends.mkl.is_available() and len(values) > _LONG_ROW * n_rows:
        out = nodes.new_empty(m, n_rows)
        matrix = torch.sparse_csr_tensor(pointers, columns, values, size=(n_rows, n_nodes), check_invariants=False)
        for row, sums in zip(nodes.detach(), out, strict=True):
            torch.mv(matrix, row, out=sums)
        return out
    pointer, column, value, dense = (part.detach().numpy() for part in (pointers, columns, values, nodes))
    found = np.zeros((m, n_rows), value.dtype)

    def work(rows: slice) -> None:
        window = pointer[rows.start : rows.stop + 1]
        for part in _parts(m):
            _columnwise(csr.csr_matvec, csr.csr_matvecs, (len(window) - 1, n_nodes), (window, column, value),
                        dense[part], found[part, rows])  # fmt: skip

    _each(work, _runs(pointer))
    return torch.from_numpy(found)


def _columnwise(one: Any, several: Any, shape: tuple[int, int], entries: Any, x: np.ndarray, sums: np.ndarray) -> None:
    """Add the products with the columns of `x` (k, n) to `sums` (k, m), which is zero."""
    if len(x) == 1:
        one(*shape, *entries, np.ascontiguousarray(x[0]), sums[0])
        return
    out = np.zeros(sums.T.shape, sums.dtype)
    several(*shape, len(x), *entries, np.ascontiguousarray(x.T).ravel(), out.ravel())
    sums[:] = out.T


def _scatter(pointers: Tensor, columns: Tensor, values: Tensor, pixels: Tensor, n_nodes: int) -> Tensor:
    """(m, n_rows) pixels to (m, n_nodes) weighted sums at nodes."""
    pointer, column, value, dense = (part.detach().numpy() for part in (pointers, columns, values, pixels))

    def work(rows: slice) -> np.ndarray:
        found, window = np.zeros((len(dense), n_nodes), value.dtype), pointer[rows.start : rows.stop + 1]
        for part in _parts(len(dense)):  # the rows of a pixel matrix are the columns of its transpose
            _columnwise(csr.csc_matvec, csr.csc_matvecs, (n_nodes, len(window) - 1), (window, column, value),
                        dense[part, rows], found[part])  # fmt: skip
        return found

    first, *others = _each(work, _runs(pointer))
    for other in others:
        first += other
    return torch.from_numpy(first)


with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # PyTorch says once that its sparse rows are young
    torch.sparse_csr_tensor(torch.zeros(2).int(), torch.zeros(0).int(), torch.zeros(0), (1, 1))

_gather_op: Any = torch.library.custom_op("neuroperc::gather", _gather, mutates_args=())
_scatter_op: Any = torch.library.custom_op("neuroperc::scatter", _scatter, mutates_args=())


def gather(matrix: Sequence[Tensor], nodes: Tensor) -> Tensor:
    """(m, n_nodes) values at nodes to (m, n_rows) weighted sums at pixels; `matrix` is pointers, columns, values."""
    run: Any = _gather if unwatched(nodes) else _gather_op
    return run(*matrix, nodes)


def scatter(matrix: Sequence[Tensor], pixels: Tensor, n_nodes: int) -> Tensor:
    """(m, n_rows) pixels to (m, n_nodes) weighted sums at nodes; `matrix` is pointers, columns, values."""
    run: Any = _scatter if unwatched(pixels) else _scatter_op
    return run(*matrix, pixels, n_nodes)


def unwatched(x: Tensor) -> bool:
    """Whether nobody is watching (autograd, the compiler, a transform): then the operator's wrapping is only time."""
    if torch.compiler.is_compiling() or type(x) is not Tensor or x.device.type != "cpu":
        return False
    return not (torch.is_grad_enabled() and x.requires_grad) and not torch._C._are_functorch_transforms_active()


@_gather_op.register_kernel("cuda")
def _(pointers: Tensor, columns: Tensor, values: Tensor, nodes: Tensor) -> Tensor:
    picked = nodes[:, columns.long()] * values
    return torch.segment_reduce(picked.T.contiguous(), "sum", offsets=pointers.long(), axis=0).T.contiguous()


@_scatter_op.register_kernel("cuda")
def _(pointers: Tensor, columns: Tensor, values: Tensor, pixels: Tensor, n_nodes: int) -> Tensor:
    counts = torch.diff(pointers).long()
    spread = torch.repeat_interleave(pixels, counts, dim=1) * values
    order = torch.argsort(columns, stable=True)
    lengths = torch.bincount(columns.long(), minlength=n_nodes)
    return torch.segment_reduce(spread[:, order].T.contiguous(), "sum", lengths=lengths, axis=0).T.contiguous()


@_gather_op.register_fake
def _(pointers: Tensor, columns: Tensor, values: Tensor, nodes: Tensor) -> Tensor:
    return nodes.new_empty(nodes.shape[0], pointers.shape[0] - 1)


@_scatter_op.register_fake
def _(pointers: Tensor, columns: Tensor, values: Tensor, pixels: Tensor, n_nodes: int) -> Tensor:
    return pixels.new_empty(pixels.shape[0], n_nodes)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:3])
    ctx.n_nodes = inputs[3].shape[1]


def _gather_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    return None, None, None, scatter(ctx.saved_tensors, grad.contiguous(), ctx.n_nodes)


def _scatter_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    return None, None, None, gather(ctx.saved_tensors, grad.contiguous()), None


_gather_op.register_autograd(_gather_backward, setup_context=_save)
_scatter_op.register_autograd(_scatter_backward, setup_context=_save)


def transpose(pointers: Tensor, columns: Tensor, values: Tensor, n_nodes: int) -> tuple[Tensor, Tensor, Tensor]:
    """Rows become nodes; within a node, pixels keep their order."""
    order = torch.argsort(columns, stable=True)
    rows = torch.repeat_interleave(torch.arange(len(pointers) - 1, dtype=torch.int32), pointers.diff().long())
    counts = torch.bincount(columns.long(), minlength=n_nodes)
    return torch.nn.functional.pad(torch.cumsum(counts, 0), (1, 0)).int(), rows[order], values[order]
