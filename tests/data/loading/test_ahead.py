"""Shards are fetched ahead of the draws that need them, a few at a time."""

from __future__ import annotations

import time
from collections.abc import Iterable

import numpy as np

from resnet_tl.data.loading.ahead import AHEAD, Ahead
from resnet_tl.errors import RunError
from resnet_tl.structures.records import Draw


def test_shards_come_before_their_images_and_not_all_at_once() -> None:
    shards, fetched = np.arange(100) // 10, []
    indices = np.append(np.arange(100), -1)
    ahead = Ahead(fetched.extend, shards)
    for place, draw in enumerate(ahead(indices, (Draw(0, index) for index in indices.tolist()))):
        assert draw.index == indices[place]
        if draw.index >= 0:
            end = time.monotonic() + 10
            while shards[draw.index] not in fetched and time.monotonic() < end:
                time.sleep(0.001)
            assert shards[draw.index] in fetched
        assert len(fetched) <= place // 10 + 2 + AHEAD
    assert fetched == list(range(10))


def test_what_cannot_be_fetched_is_left_to_those_who_read_it() -> None:
    asked = []

    def fetch(numbers: Iterable[int]) -> None:
        asked.append(next(iter(numbers)))
        raise RunError("gone")

    ahead = Ahead(fetch, np.arange(30) // 10)
    assert len(list(ahead(np.arange(30), (Draw(0, index) for index in range(30))))) == 30
    end = time.monotonic() + 10
    while len(asked) < 3 and time.monotonic() < end:
        time.sleep(0.001)
    assert asked == [0, 1, 2]


def test_an_epoch_that_is_left_requests_no_more() -> None:
    fetched = []

    def fetch(numbers: Iterable[int]) -> None:
        for number in numbers:
            time.sleep(0.05)
            fetched.append(number)

    ahead = Ahead(fetch, np.arange(40) // 10)
    next(ahead(np.arange(40), (Draw(0, index) for index in range(40))))
    order = np.arange(39, 19, -1)
    list(ahead(order, (Draw(1, index) for index in order.tolist())))
    time.sleep(0.3)
    assert fetched[-2:] == [3, 2]
    assert len(fetched) <= 4
