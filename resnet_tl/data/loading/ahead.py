"""Downloads shards ahead of their turn, next to what reads them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
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
        fetch: downloads the shard of a number unless it is there.
        shards: `[N]` int, the shard of each sample.
    """

    def __init__(self, fetch: Callable[[int], None], shards: np.ndarray) -> None:
        self._fetch, self._shards = fetch, shards
        self._requested: SimpleQueue[int] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def __call__(self, indices: np.ndarray, draws: Iterable[Draw]) -> Iterator[Draw]:
        """Yields the draws, whose samples are `indices` `[D]`, -1 for fillers."""
        with suppress(Empty):
            while True:  # what an epoch that was left had requested
                self._requested.get_nowait()
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
            number = self._requested.get()
            with suppress(UserError, OSError):
                self._fetch(number)
