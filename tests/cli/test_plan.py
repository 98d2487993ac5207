"""`resnet-tl plan`: the table and the suggestion, without a run."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any


def test_the_plan_is_printed_and_nothing_is_written(resnet_tl: Callable[..., Any], here: Path, images: Path) -> None:
    done = resnet_tl("plan -c photos.yaml --data.root {} --model.tuning.layer_decay 1", images)
    assert done.code == 2
    done = resnet_tl(
        "plan -c photos.yaml --data.root {} --model.tuning.phases lpft --model.tuning.allow_untrained true", images
    )
    assert done.code == 0
    lines = done.out.splitlines()
    assert re.split(r" {2,}", lines[0]) == ["stage", "parameters", "phase 0: epoch 1", "phase 1: epoch 2"]
    assert re.search(r"^stem +[\d,]+ +frozen +lr 0.002, norms train$", done.out, re.MULTILINE)
    assert re.search(r"^compute saved +\d\d% +0%$", done.out, re.MULTILINE)
    assert lines[-1] == "BiT's rule for 12 training images: -c overlays/bit_small"
    assert [path.name for path in here.iterdir()] == ["photos.yaml"]


def test_a_rate_is_suggested(resnet_tl: Callable[..., Any], here: Path, images: Path) -> None:
    done = resnet_tl("plan -c photos.yaml --data.root {} --find-lr", images)
    assert done.code == 0
    suggested = re.search(r"--model.optimizer.lr (\S+) \(phase 0\)", done.out)
    assert suggested is not None
    assert 1e-5 < float(suggested[1]) < 10
    assert [path.name for path in here.iterdir()] == ["photos.yaml"]


def test_mistakes_are_sentences(resnet_tl: Callable[..., Any], here: Path, images: Path) -> None:
    assert resnet_tl("plan").err == (
        "error: plan needs a recipe: -c RECIPE, a file or a name that `resnet-tl recipes list` shows\n"
    )
    done = resnet_tl("plan -c photos.yaml --data.root {} --find-lr --phase 3", images)
    assert done.err.endswith("error: --phase 3: the plan has 1 phases, counted from 0\n")
    done = resnet_tl("plan -c photos.yaml --data.root {} --trainer.max_epochs null", images)
    assert "trainer.max_epochs is not set; expected the number of epochs" in done.err
