from __future__ import annotations

import pytest
import torch

from benchmarks.solved_head import draw, figures, scikit_learn, solved, stepped

pytest.importorskip("sklearn")


def test_classes_that_lie_apart_are_learned_in_every_way() -> None:
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(90) % 3
    features = torch.randn(90, 6, generator=generator) + 8 * torch.eye(6)[y]
    taken = draw(y, 10, seed=1)
    assert y[taken].bincount().tolist() == [10, 10, 10]
    assert len(draw(y, 0.8, seed=1)) == 72
    few = features[None, taken], y[taken], features, y, 1
    ways = {"solved": solved(*few), "stepped": stepped(*few), **scikit_learn(*few)}
    assert {way: accuracy for way, (accuracy, _) in ways.items() if accuracy < 97} == {}


def test_accuracies_and_seconds_are_tables_of_their_own() -> None:
    row = {"solved": [90.0, 92.0], "solved s": [1.0, 3.0]}
    accuracy, seconds = figures({"rows": {"ants": row}})
    assert (accuracy.table, accuracy.value, accuracy.unit) == ("solved_head", 91, "%")
    assert (seconds.table, seconds.column, seconds.value) == ("solved_seconds", "solved", 2)
