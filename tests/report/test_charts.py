from __future__ import annotations

from typing import Any

import pytest

from resnet_tl.report import charts


def drawn(chart: Any, *fields: str) -> list[dict[str, Any]]:
    """The values of the layers that have these fields."""
    layers = [layer["data"]["values"] for layer in chart.to_dict()["layer"] if "data" in layer]
    return [value for values in layers for value in values if set(fields) <= set(value)]


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
