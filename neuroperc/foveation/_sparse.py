"""A sparse matrix whose rows are pixels, both ways: gather (pixels from nodes) and scatter (nodes from pixels).

On the CPU scipy's compiled loops do the work (custom operators, so that `torch.compile` and autograd see through them);
on CUDA the same sums are one Triton kernel (`_triton`), or, without Triton, segment reductions; repeatable bit for bit.
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

Matrix = Sequence[Tensor]  # pointers, columns, values


def _gather_either_way(p: Tensor, c: Tensor, v: Tensor, tp: Tensor, tc: Tensor, tv: Tensor, nodes: Tensor) -> Tensor:
    return _gather(p, c, v, nodes)


_gather_op: Any = torch.library.custom_op("neuroperc::gather", _gather_either_way, mutates_args=())
_scatter_op: Any = torch.library.custom_op("neuroperc::scatter", _scatter, mutates_args=())


def gather(matrix: Matrix, transposed: Matrix, nodes: Tensor) -> Tensor:
    """(m, n_nodes) values at nodes to (m, n_rows) weighted sums at pixels; the transpose, where stored, goes back."""
    none = nodes.new_empty(0)
    run: Any = _gather_either_way if unwatched(nodes) else _gather_op
    return run(*matrix, *(transposed or (none, none, none)), nodes)


def scatter(matrix: Matrix, pixels: Tensor, n_nodes: int) -> Tensor:
    """(m, n_rows) pixels to (m, n_nodes) weighted sums at nodes."""
    run: Any = _scatter if unwatched(pixels) else _scatter_op
    return run(*matrix, pixels, n_nodes)


def unwatched(x: Tensor) -> bool:
    """Whether nobody is watching (autograd, the compiler, a transform): then the operator's wrapping is only time."""
    if torch.compiler.is_compiling() or type(x) is not Tensor or x.device.type != "cpu":
        return False
    return not (torch.is_grad_enabled() and x.requires_grad) and not torch._C._are_functorch_transforms_active()


def row_sums(pointers: Tensor, columns: Tensor, values: Tensor, x: Tensor) -> Tensor:
    """Return what `_gather` does, on any device, at the price of a copy of the entries for every row of `x`."""
    picked = x[:, columns.long()] * values
    return torch.segment_reduce(picked.T.contiguous(), "sum", offsets=pointers.long(), axis=0).T.contiguous()


@_gather_op.register_kernel("cuda")
def _(p: Tensor, c: Tensor, v: Tensor, tp: Tensor, tc: Tensor, tv: Tensor, nodes: Tensor) -> Tensor:
    try:
        from ._triton import row_sums as compiled
    except ImportError:  # PyTorch brings Triton on Linux only
        return row_sums(p, c, v, nodes)
    return compiled(p, c, v, nodes)


@_scatter_op.register_kernel("cuda")
def _(pointers: Tensor, columns: Tensor, values: Tensor, pixels: Tensor, n_nodes: int) -> Tensor:
    found: Tensor = _gather_op(*transpose(pointers, columns, values, n_nodes), pointers, columns, values, pixels)
    return found


@_gather_op.register_fake
def _(p: Tensor, c: Tensor, v: Tensor, tp: Tensor, tc: Tensor, tv: Tensor, nodes: Tensor) -> Tensor:
    return nodes.new_empty(nodes.shape[0], p.shape[0] - 1)


@_scatter_op.register_fake
def _(pointers: Tensor, columns: Tensor, values: Tensor, pixels: Tensor, n_nodes: int) -> Tensor:
    return pixels.new_empty(pixels.shape[0], n_nodes)


def _save_gather(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:6])
    ctx.n_nodes = inputs[6].shape[1]


def _gather_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    matrix, transposed = ctx.saved_tensors[:3], ctx.saved_tensors[3:]
    grad = grad.contiguous()
    back = gather(transposed, matrix, grad) if len(transposed[0]) else scatter(matrix, grad, ctx.n_nodes)
    return (None,) * 6 + (back,)


def _save_scatter(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:3])


def _scatter_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    return None, None, None, gather(ctx.saved_tensors, (), grad.contiguous()), None


_gather_op.register_autograd(_gather_backward, setup_context=_save_gather)
_scatter_op.register_autograd(_scatter_backward, setup_context=_save_scatter)


def transpose(pointers: Tensor, columns: Tensor, values: Tensor, n_nodes: int) -> tuple[Tensor, Tensor, Tensor]:
    """Rows become nodes; within a node, pixels keep their order."""
    order = torch.argsort(columns, stable=True)
    rows = torch.arange(len(pointers) - 1, dtype=torch.int32, device=pointers.device)
    rows = torch.repeat_interleave(rows, pointers.diff().long())
    counts = torch.bincount(columns.long(), minlength=n_nodes)
    return torch.nn.functional.pad(torch.cumsum(counts, 0), (1, 0)).int(), rows[order], values[order]
