"""Lengths of phases in epochs, and as shares of the run."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnet_tl.errors import RecipeError
from resnet_tl.tuning.plan import Phase, Tuning
from resnet_tl.tuning.resolve import resolve

STAGES = ["stem", "layer1", "layer2", "layer3", "layer4", "head"]


def plan(*phases: Phase, epochs: int = 10, loaded: list[str] | None = None, **options):
    return resolve(Tuning(list(phases), **options), STAGES, epochs, loaded)


@pytest.mark.parametrize(
    ("phases", "message"),
    [
        ([Phase(), Phase()], r"phases\[0\] has no epochs"),
        ([Phase(epochs=0.6), Phase(epochs=0.4), Phase()], "shares .* add up to 1, next to phases without one; .*less"),
        ([Phase(epochs=0.6), Phase(epochs=0.5)], "add up to 1.1; expected at most 1"),
        ([Phase(epochs=0.5), Phase(epochs=9), Phase()], "need 11 epochs, at least 1 each, but .* is 10"),
        ([Phase(epochs=11)], "last 11 epochs, but trainer.max_epochs is 10"),
        ([Phase(epochs=10), Phase()], "10 epochs and one without a length"),
        ([Phase(["head"], epochs=3, solver="lbfgs"), Phase()], r"phases\[0\].solver takes 1 epoch, but epochs is 3"),
        ([Phase(["head"], epochs=0.1, solver="lbfgs"), Phase()], "takes 1 epoch, but epochs is 0.1; omit epochs"),
        (
            [Phase(epochs=4), Phase(["head"], solver="lbfgs")],
            "last 5 epochs, of which a solver takes the last, but .* is 10; set it to 5, or add a phase",
        ),
    ],
)
def test_lengths_that_do_not_fit_are_refused(phases: Any, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        resolve(Tuning(phases), STAGES, 10)


@pytest.mark.parametrize(
    ("lengths", "epochs", "ends"),
    [
        ([0.1, None], 30, [3, 30]),
        ([0.1, None], 2, [1, 2]),
        ([0.15, 0.2, 0.15, None], 20, [3, 7, 10, 20]),
        ([0.15, 0.2, 0.15, None], 4, [1, 2, 3, 4]),
        ([0.9, None], 3, [2, 3]),  # rounded to 3 epochs, of which the last phase gets one
        ([2, 0.5, None], 8, [2, 6, 8]),
        ([0.5, 3], 5, [2, 5]),
        ([0.5, 0.5], 3, [2, 3]),
        ([0.15, 0.2, 0.15, None], 3, [0, 1, 2, 3]),  # fewer epochs than phases: the first ones are skipped
        ([0.15, 0.2, 0.15, None], 1, [0, 0, 0, 1]),
        ([0.5, 0.5], 1, [0, 1]),
    ],
)
def test_shares_of_the_run_are_rounded_to_epochs(lengths: list[Any], epochs: int, ends: list[int]) -> None:
    resolved = plan(*(Phase(epochs=length) for length in lengths), epochs=epochs)
    assert [phase.end for phase in resolved.phases] == ends


@given(st.lists(st.floats(0.01, 0.3) | st.integers(1, 3), max_size=3), st.integers(0, 20))
def test_every_phase_has_an_epoch_whatever_its_share(lengths: list[int | float], more: int) -> None:
    epochs = 1 + more + sum(length if isinstance(length, int) else 1 for length in lengths)
    resolved = plan(*(Phase(epochs=length) for length in lengths), Phase(), epochs=epochs)
    assert all(phase.start < phase.end for phase in resolved.phases)
    assert resolved.phases[-1].end == epochs
    for phase, length in zip(resolved.phases, lengths, strict=False):
        if isinstance(length, int):
            assert phase.end - phase.start == length
