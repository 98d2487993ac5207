"""`resnet-tl rank`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from resnet_tl.cli.rank import HELP


def test_the_example_prints_the_trained_weights_first(resnet_tl: Callable[..., Any], here: Path) -> None:
    done = resnet_tl(HELP.rpartition("example: resnet-tl ")[2])
    assert done.code == 0, done.err
    notes, table, sure = done.out.strip().split("\n\n")
    assert notes.endswith("200 training images of 10 classes are compared")
    heading, first, second = table.splitlines()
    assert " ".join(heading.split()) == "weights probe 95 % interval earlier k-NN LogME H-score LEEP NCE seconds"
    assert second.split()[-3:-1] == ["–", "–"]  # a random network has no classifier of its own
    assert first.startswith("resnet20_cifar=builtin/resnet20_cifar10 ")
    assert second.startswith("resnet20_cifar=random ")
    assert sure == (
        "resnet20_cifar=builtin/resnet20_cifar10 is better than resnet20_cifar=random in 100.0% of resamples of these "
        "images"
    )


def test_equal_candidates_are_too_close_to_tell(resnet_tl: Callable[..., Any], images: Path, here: Path) -> None:
    done = resnet_tl("rank -c photos.yaml --data.root {} --weights random resnet20_cifar=random", images)
    assert done.code == 0, done.err
    assert "in 50.0% of resamples of these images: too close to tell, so train both" in done.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("rank -c photos.yaml", "rank needs a recipe and weights: resnet-tl rank -c RECIPE --weights NAME NAME"),
        ("rank --weights random", "rank needs a recipe and weights"),
        ("rank -c photos.yaml --weights random --images 0", "--images is 0; expected 1 or more"),
        ("rank -c photos.yaml --data.root nowhere --weights random", "nowhere"),
    ],
)
def test_mistakes_are_one_sentence(resnet_tl: Callable[..., Any], here: Path, words: str, message: str) -> None:
    done = resnet_tl(words)
    assert done.code == 2
    assert message in done.err
    assert done.err.count("\n") == 1
