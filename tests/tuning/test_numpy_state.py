"""numpy's state as it is, whatever has drawn in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from resnet_tl.tuning.numpy_state import NumpyState

CHANGES: dict[str, Callable[[], Any]] = {
    "nothing": lambda: None,
    "uniform": np.random.rand,
    "normal": np.random.randn,
    "seed": lambda: np.random.seed(5),
    "shuffle": lambda: np.random.permutation(700),
    "state": lambda: np.random.set_state(np.random.RandomState(9).get_state()),
}


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    before = np.random.get_state()
    yield
    np.random.set_state(before)


def same(one: Any, other: Any) -> bool:
    return one[0] == other[0] and np.array_equal(one[1], other[1]) and tuple(one[2:]) == tuple(other[2:])


@pytest.mark.parametrize("first", CHANGES)
@pytest.mark.parametrize("second", CHANGES)
def test_the_state_is_numpys(first: str, second: str) -> None:
    np.random.seed(0)
    state = NumpyState()
    state.read()
    for change in (first, second, first, second):  # two normal draws: the second only takes what was held back
        CHANGES[change]()
        assert same(state.read(), np.random.get_state(legacy=True)), change


def test_it_is_read_once_while_nothing_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    np.random.seed(0)
    state = NumpyState()
    first = state.read()
    assert state.read() is first
    np.random.rand()
    assert state.read() is not first
