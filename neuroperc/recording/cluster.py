"""Work spread over a Dask cluster: in any order, never more than the workers can hold, and again when a worker dies.

Dask is imported here only, and only when a `client` is given.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from .._check import check

_TRIES = 5  # of one item, before its workers' deaths are blamed on it
_AHEAD = 2  # items a thread that are asked for before their turn


def check_client(client: Any) -> None:
    """Refuse anything but a connected ``distributed.Client``."""
    connected = getattr(client, "status", None) == "running" and hasattr(client, "submit")
    check(connected, "client", "a connected distributed.Client", client,
          "Make one with distributed.Client(), or with dask_jobqueue on a cluster.", TypeError)  # fmt: skip


def spread(
    client: Any, function: Callable[[Any, Any], Any], items: Sequence[Any], *, shared: Any = None
) -> Iterator[tuple[int, Any]]:
    """Yield (index, function(shared, item)) as the cluster finishes them.

    `shared` is sent to the workers once. What a dying worker held, results that were not fetched and its copy of
    `shared` included, is made again on the others.

    Raises
    ------
    RuntimeError
        When one item loses its worker five times, or no worker is left.
    """
    from distributed import as_completed

    left, lost = set(range(len(items))), Counter[int]()
    while left:
        threads = sum(client.nthreads().values())
        check(threads > 0, "client", "a cluster with workers", "none", "Start some: cluster.scale(2).", RuntimeError)
        there = _everywhere(client, shared)
        waiting, queue = sorted(left, reverse=True), as_completed()
        asked: dict[Any, int] = {}
        while waiting and len(asked) < _AHEAD * threads:
            _ask(client, function, there, items, waiting, asked, queue)
        for future in queue:
            index = asked.pop(future)
            found = _fetched(future)
            if waiting:
                _ask(client, function, there, items, waiting, asked, queue)
            if found is None:
                lost[index] += 1
                check(lost[index] < _TRIES, "client", "a cluster whose workers stay alive",
                      f"{_TRIES} that died over one piece of work", "Give them more memory.", RuntimeError)  # fmt: skip
                continue
            left.discard(index)
            yield index, found[0]


def _everywhere(client: Any, shared: Any) -> Any:
    """Send to all workers, again when one of them dies meanwhile."""
    # A name of its own: that of equal content would be shared with an earlier call, whose end could drop it.
    send = partial(client.scatter, shared, broadcast=True, hash=False)
    for attempt in range(1, _TRIES):
        with suppress(OSError):  # distributed's closed connection is one
            return send()
        time.sleep(0.2 * attempt)  # until the scheduler knows
    return send()


def _ask(
    client: Any, function: Any, there: Any, items: Sequence[Any], waiting: list[int], asked: dict[Any, int], queue: Any
) -> None:
    index = waiting.pop()
    future = client.submit(function, there, items[index], pure=False)
    asked[future] = index
    queue.add(future)


def _fetched(future: Any) -> tuple[Any] | None:
    """Return a result, or None when the workers that had it are gone; errors of the function itself are raised."""
    from asyncio import CancelledError as Cancelled
    from concurrent.futures import CancelledError

    from distributed import KilledWorker

    try:
        return (future.result(),)
    except (Cancelled, CancelledError, KilledWorker):
        return None
