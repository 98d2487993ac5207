"""`resnet-tl average`: its table, and mistakes in its words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def test_the_mean_is_printed_next_to_its_ingredients(resnet_tl: Callable[..., Any], here: Path, images: Path) -> None:
    for name, rate in (("one", 0.02), ("two", 0.01)):
        fit = "fit -c photos.yaml --data.root {} --run {} --model.optimizer.lr {} --tracking.report false"
        assert resnet_tl(fit, images, name, rate).code == 0
    done = resnet_tl("average one two --weights 1 3 --out mean.ckpt")
    assert done.code == 0, done.err
    rows = [line.split() for line in done.out.splitlines()]
    assert ["weights", "share", "acc", "95", "%", "interval"] in rows
    assert ["one", "0.250"] in [row[:2] for row in rows]
    assert ["two", "0.750"] in [row[:2] for row in rows]
    assert ["mean:", "mean.ckpt", "–"] in [row[:3] for row in rows]
    assert resnet_tl("validate mean.ckpt").code == 0


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("average one two", "average needs a file to write: --out FILE.ckpt"),
        ("average one --out mean.ckpt", "average needs two or more runs or checkpoints"),
        ("average one two --out photos.yaml", "photos.yaml: exists already, and nothing is overwritten"),
        ("average one two --out mean.ckpt", "no run folder or checkpoint at 'one'"),
        ("average one two --wise-ft", "--wise-ft mixes one run with the end of its head's phase, but 2 are named"),
        ("average one --wise-ft", "no run folder or checkpoint at 'one'"),
        ("average one two --out mean.ckpt --greedy --wise-ft", "--greedy and --wise-ft: each decides the shares"),
        ("average one two --out mean.ckpt --weights a b", "--weights a: expected a number"),
        ("average one two --out mean.ckpt --trainer.devices 2", "--trainer.devices: unknown option; average takes"),
        ("average -c photos.yaml --out mean.ckpt", "average takes the recipe of the first run"),
        (
            "average one two --out mean.ckpt --greed",
            "resnet-tl average: --greed: unknown option; did you mean --greedy",
        ),
    ],
)
def test_mistakes_are_errors_of_one_sentence(
    line: str, sentence: str, resnet_tl: Callable[..., Any], here: Path
) -> None:
    done = resnet_tl(line)
    assert done.code == 2
    assert done.err.startswith(f"error: {sentence}")
    assert done.err.count("\n") == 1
