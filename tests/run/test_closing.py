"""What a run reports at its end."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import resnet_tl
from resnet_tl.metrics.box_interval import mean_precision_interval
from resnet_tl.run import train
from resnet_tl.run.closing import _interval, box_scores, calibration, closing, results, slow_loader
from resnet_tl.run.decide import decide
from resnet_tl.tracking.pace import Pace
from resnet_tl.tracking.predictions import save_evaluation
from resnet_tl.tracking.run_folder import RunFolder
from tests.cli.conftest import RECIPE
from tests.metrics.box_sets import box_set


def test_the_best_and_the_last_epoch_have_a_line_each() -> None:
    best = {"epoch": 11, "step": 240, "val/loss": 0.21, "val/acc": 0.94118}
    final = {"epoch": 14, "step": 300, "val/loss": 0.24, "val/acc": 0.9}
    assert list(results("val/acc", best, final, (0.9, 0.975))) == [
        "best   epoch 12   val/acc 0.9412  (95 % interval 0.9 to 0.975)  val/loss 0.21",
        "final  epoch 15   val/acc 0.9  val/loss 0.24",
    ]


def test_a_slow_loader_is_a_sentence_with_the_change() -> None:
    line = "training waited for data in 45% of its time: raise data.num_workers (2, of 16 cores)"
    assert slow_loader(0.45, 2, 16, "off") == f"{line}, or cache what frozen stages compute (tuning.cache: auto)"
    assert slow_loader(0.45, 2, 16, "auto") == line  # which caches, or has said why not
    assert "lower data.image_size" in slow_loader(0.45, 16, 16, "off")


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The arguments of `closing` at the end of a run."""
    arguments: list[Any] = []

    def closing(*given: Any) -> Iterator[str]:
        arguments[:] = given
        return original(*given)

    original = train.closing
    monkeypatch.setattr(train, "closing", closing)
    return arguments


def test_a_run_ends_with_its_results_and_where_its_time_went(closed: list[Any], here: Path, images: Path) -> None:
    run = resnet_tl.fit(yaml.safe_load(RECIPE), run="run", **{"data.root": images, "tracking.report": False})
    lines = [line.partition("  ")[2].strip() for line in (here / "run" / "log.txt").read_text().splitlines()]
    low, high = resnet_tl.evaluate(run)["interval"]
    for title, each in (("best", run.best), ("final", run.final)):
        (line,) = (line for line in lines if line.startswith(f"{title:<6} epoch {each['epoch'] + 1}"))
        assert f"val/acc {each['val/acc']:.4g}" in line
        assert f"val/loss {each['val/loss']:.4g}" in line
        assert (f"95 % interval {low:.4g} to {high:.4g}" in line) == (title == "best")
    (line,) = (line for line in lines if line.startswith("time: "))
    shares = {name: int(share) for name, share in re.findall(r"([a-z ]+) (\d+)%", line.partition("which ")[2])}
    assert {name.strip() for name in shares} == set(run.summary["shares"])
    assert [*shares.values()] == sorted(shares.values(), reverse=True)

    folder, trainer, _, cache = closed
    assert cache == "auto"
    (pace,) = (each for each in trainer.callbacks if isinstance(each, Pace))
    quick = list(closing(folder, trainer, 0, "auto"))
    pace._waited = 0.5 * pace._seconds
    slow = list(closing(folder, trainer, 0, "auto"))
    assert [line for line in slow if line not in quick if not line.startswith("time")] == [
        slow_loader(0.5, 0, os.cpu_count() or 1, "auto")
    ]
    folder.best_predictions.unlink()
    assert "interval" not in "".join(closing(folder, trainer, 0, "auto"))


def test_a_detector_has_the_interval_of_its_map_and_the_scores_of_predict(tmp_path: Path) -> None:
    run, evaluation = RunFolder(tmp_path), box_set(images=20)
    save_evaluation(evaluation, run.best_predictions)
    assert _interval(run) == mean_precision_interval(evaluation)
    _, numbers = decide(evaluation)
    line = box_scores(numbers)
    assert line.endswith(
        ", where F1 is best: that of a class, or of all classes together for one with fewer than 20 objects or without "
        "hits"
    )
    assert line.startswith(f"objects for predict: scores from {numbers['box_scores']['class 0']:.2f} (class 0), ")


def test_the_calibration_error_of_few_images_is_left_out() -> None:
    decisions = {"temperature": [1.5], "images": 100, "ece": 0.1, "calibrated_ece": 0.05}
    line = "calibrated for predict: temperature 1.50"
    errors = ", expected calibration error 0.100 before, 0.050 after"
    assert calibration(decisions) == line + errors
    assert calibration({**decisions, "images": 99}) == line
    decisions.pop("images")
    assert calibration(decisions) == line + errors, "of a run of an earlier version"
