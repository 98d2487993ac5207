"""`resnet-tl publish`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard


def test_a_run_is_published_with_scores_and_examples_and_predicts(
    resnet_tl: Callable[..., Any], images: Path, here: Path
) -> None:
    assert resnet_tl("fit -c photos.yaml --data.root {} --run run --tracking.report false", images).code == 0
    done = resnet_tl("publish run colours --with-images")
    assert done.code == 0, done.err
    assert 'resnet_tl.load("colours")' in done.out
    assert "timm.create_model" not in done.out
    card = ModelCard.load(here / "colours" / "README.md")
    assert card.data.license == "unknown"
    assert card.data.eval_results is not None
    assert card.data.eval_results[0].metric_type == "acc"
    assert "### By class" in card.text
    assert "timm has no network of this form" in card.text
    assert str(images) not in card.content
    assert len(list((here / "colours" / "examples").iterdir())) == 6
    assert resnet_tl("predict run {} --out run.csv", images / "val").code == 0
    assert resnet_tl("predict colours {} --out colours.csv", images / "val").code == 0
    assert (here / "run.csv").read_text() == (here / "colours.csv").read_text()


def test_words_that_do_not_fit_are_refused(resnet_tl: Callable[..., Any], here: Path) -> None:
    done = resnet_tl("publish run")
    assert (done.code, "publish needs a run or checkpoint, and a new folder" in done.err) == (2, True)
    (here / "colours.onnx").touch()
    done = resnet_tl("publish colours.onnx colours")
    assert (done.code, "colours.onnx: exported already; expected the run" in done.err) == (2, True)
    done = resnet_tl("publish run colours --hub colours")
    assert (done.code, "colours: not a model on the Hugging Face hub: expected hf://USER/NAME" in done.err) == (2, True)
