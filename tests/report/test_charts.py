from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from resnet_tl.report import charts


def drawn(chart: Any, *fields: str) -> list[dict[str, Any]]:
    """The values of the layers that have these fields."""
    return [value for values in _data(chart.to_dict()) for value in values if set(fields) <= set(value)]


def _data(chart: dict[str, Any]) -> Iterator[list[dict[str, Any]]]:
    if "data" in chart:
        yield chart["data"]["values"]
    for layer in chart.get("layer", []):
        yield from _data(layer)


@pytest.mark.parametrize(
    ("of_epoch", "expected"),
    [
        ({"train/loss_epoch": 0.5}, {(1.0, 0.5, "training"), (1.0, 0.4, "validation")}),
        ({}, {(0.5, 0.9, "training (single batches)"), (1.0, 0.4, "validation")}),
    ],
)
def test_the_training_loss_is_the_mean_of_each_epoch(of_epoch: dict[str, float], expected: set[Any]) -> None:
    rows = [{"at": 0.5, "train/loss": 0.9}, {"at": 1.0, "val/loss": 0.4, **of_epoch}]
    values = drawn(charts.losses(rows, None), "loss")
    assert {(value["epoch"], value["value"], value["loss"]) for value in values} == expected


def test_short_phases_have_their_numbers_and_the_shortest_nothing() -> None:
    rows = [{"at": at, "phase": phase, "val/loss": 1.0} for phase, at in enumerate((1.0, 3.0, 3.5, 10.0))]
    names = [value["phase"] for value in drawn(charts.losses(rows, None), "phase", "odd")]
    assert list(dict.fromkeys(names)) == ["0", "phase 1", "", "phase 3"]
