"""The sums of `_sparse` as one Triton kernel, for CUDA: no copy of the picture an entry, the same order of adding."""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl
from torch import Tensor


@triton.jit
def _row_sums(  # type: ignore[no-untyped-def]  # noqa: ANN202
    pointers: Any, columns: Any, values: Any, x: Any, out: Any, m: Any, entries: tl.constexpr, channels: tl.constexpr
):
    row = tl.program_id(0).to(tl.int64)
    channel = tl.program_id(1) * channels + tl.arange(0, channels)
    start, stop = tl.load(pointers + row), tl.load(pointers + row + 1)
    total = tl.zeros((channels,), dtype=out.dtype.element_ty)
    for first in range(start, stop, entries):
        k = first + tl.arange(0, entries)
        column = tl.load(columns + k, mask=k < stop, other=0).to(tl.int64)
        weight = tl.load(values + k, mask=k < stop, other=0.0)
        seen = (k < stop)[:, None] & (channel < m)[None, :]
        part = tl.load(x + column[:, None] * m + channel[None, :], mask=seen, other=0.0)
        total += tl.sum(part * weight[:, None], axis=0)
    tl.store(out + row * m + channel, total, mask=channel < m)


def row_sums(pointers: Tensor, columns: Tensor, values: Tensor, x: Tensor) -> Tensor:
    """(m, n) to (m, n_rows): every row's weighted sum; a program a row and 16 channels, entries 32 at a time."""
    m, n_rows = len(x), len(pointers) - 1
    apart, out = x.T.contiguous(), x.new_empty(n_rows, m)
    channels = min(16, triton.next_power_of_2(m))
    _row_sums[(n_rows, triton.cdiv(m, channels))](
        pointers, columns, values, apart, out, m, entries=32, channels=channels
    )
    return out.T.contiguous()
