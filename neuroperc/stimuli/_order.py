"""Random orders without long runs: at most k trials in a row with the same value of a column."""

from __future__ import annotations

import numpy as np

_ATTEMPTS = 20


class Runs:
    """How long the current run of every constrained column is; carried from block to block."""

    def __init__(self, codes: np.ndarray, longest: np.ndarray) -> None:
        self.codes = codes  # (cell, column): the value of every column in every cell
        self.longest = longest
        self.last = np.full(len(longest), -1)
        self.length = np.zeros(len(longest), dtype=int)

    def copy(self) -> Runs:
        """Return an independent copy."""
        new = Runs(self.codes, self.longest)
        new.last, new.length = self.last.copy(), self.length.copy()
        return new

    def allowed(self, left: np.ndarray) -> np.ndarray:
        """Return which cells may come next so that, column by column, the rest can still be ordered.

        m trials of a value fit among o others exactly when m <= k (o + 1), or with k less the run it continues.
        """
        ok = left > 0
        for j, k in enumerate(self.longest):
            values = self.codes[:, j]
            full = (values == self.last[j]) & (self.length[j] >= k)
            ok &= ~full
            counts = np.bincount(values, weights=left)
            total, worst = counts.sum(), int(counts.argmax())
            # Only the most frequent value can become too frequent.
            after = counts[worst] > k * (total - counts[worst])
            if after:
                run = self.length[j] if self.last[j] == worst else 0
                if counts[worst] > k - run + k * (total - counts[worst]):
                    return np.zeros_like(ok)
                ok &= values == worst
        return ok

    def add(self, cell: int) -> None:
        """Append a trial."""
        same = self.codes[cell] == self.last
        self.length = np.where(same, self.length + 1, 1)
        self.last = self.codes[cell].copy()


def ordered(counts: np.ndarray, runs: Runs, rng: np.random.Generator) -> np.ndarray | None:
    """Return a random order of cells that occur `counts` times each and continue `runs`; None when none was found.

    Trials are drawn one after another among the allowed cells, each with the chance of its remaining trials; a dead
    end starts again. With one constrained column there are no dead ends.
    """
    every = np.repeat(np.arange(len(counts)), counts)
    if not len(runs.longest):
        return rng.permutation(every)
    for _ in range(_ATTEMPTS):
        state, left, order = runs.copy(), counts.astype(float), np.empty(len(every), dtype=int)
        for i in range(len(every)):
            weights = np.where(state.allowed(left), left, 0.0).cumsum()
            if weights[-1] == 0:
                break
            order[i] = np.searchsorted(weights, rng.random() * weights[-1], side="right")
            left[order[i]] -= 1
            state.add(int(order[i]))
        else:
            runs.last, runs.length = state.last, state.length
            return order
    return None
