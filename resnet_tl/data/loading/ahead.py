"""Downloads shards ahead of their turn, next to what reads them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import chain
from queue import Empty, SimpleQueue

import numpy as np

from resnet_tl.errors import UserError
from resnet_tl.structures.records import Draw

AHEAD = 2
"""How many shards ahead: by then a draw is this many shards' worth of images away."""


class Ahead:
    """Wraps an epoch's draws: what shards they need is fetched before they are yielded, by a thread of its own.

    A shard that cannot be fetched is reported when it is read: the draws go on until then.

    Args:
        fetch: downloads the shards of these numbers, one after another, unless they are there.
        shards: `[N]` int, the shard of each sample.
    """

    def __init__(self, fetch: Callable[[Iterable[int]], None], shards: np.ndarray) -> None:
        self._fetch, self._shards = fetch, shards
        self._requested: SimpleQueue[int] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def __call__(self, indices: np.ndarray, draws: Iterable[Draw]) -> Iterator[Draw]:
        """Yields the draws, whose samples are `indices` `[D]`, -1 for fillers."""
        for _ in self._waiting():  # what an epoch that was left had requested
            pass
        due = self._first_reads(indices)
        reach = AHEAD * len(indices) // max(1, len(due))
        for place, draw in enumerate(draws):
            while due and due[0][0] <= place + reach:
                self._request(due.popleft()[1])
            yield draw

    def _first_reads(self, indices: np.ndarray) -> deque[tuple[int, int]]:
        """Returns (place of the first draw, number) of each shard, in the order of their first draws."""
        places = np.flatnonzero(indices >= 0)
        numbers, firsts = np.unique(self._shards[indices[places]], return_index=True)
        return deque(sorted(zip(places[firsts].tolist(), numbers.tolist(), strict=True)))

    def _request(self, number: int) -> None:
        self._requested.put(number)
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._work, daemon=True, name="shards ahead")
            self._thread.start()

    def _work(self) -> None:
        while True:
            first = self._requested.get()
            with suppress(UserError, OSError):
                self._fetch(chain([first], self._waiting()))

    def _waiting(self) -> Iterator[int]:
        """Takes requests until there are none."""
        with suppress(Empty):
            while True:
                yield self._requested.get_nowait()
