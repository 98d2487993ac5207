"""Loggers draw the validations that are better than all before."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from resnet_tl.structures.evaluation import Evaluation
from resnet_tl.tracking.best import Best
from resnet_tl.tracking.loggers.draw_best import DrawBest
from resnet_tl.tracking.loggers.drawings import Drawing, Table
from resnet_tl.tracking.loggers.run_logger import Outcome, RunLogger
from resnet_tl.tracking.predictions import save_evaluation
from resnet_tl.tracking.run_folder import RunFolder
from tests.tracking.test_predictions import evaluation


class Paper(RunLogger):
    def __init__(self) -> None:
        self.drawn: list[tuple[int, list[str]]] = []

    def send(self, metrics: Mapping[str, float], step: int | None) -> None:
        raise AssertionError

    def end(self, outcome: Outcome) -> None:
        raise AssertionError

    def show(self, name: str, drawing: Drawing, step: int) -> None:
        self.drawn.append((step, [name]))


def _validated(score: float, step: int, loggers: list[Any], sanity: bool = False) -> Any:
    metrics = {"val/acc": torch.tensor(score)}
    return SimpleNamespace(
        loggers=loggers, sanity_checking=sanity, is_global_zero=True, callback_metrics=metrics, global_step=step
    )


class Words:
    """Draws a word for each kind of drawing."""

    def validation(self, evaluation: Evaluation, tables: Mapping[str, Any]) -> dict[str, Drawing]:
        return {"val/classes": Table([], [])}

    def end(self, evaluation: Evaluation) -> dict[str, Drawing]:
        return {f"val/predictions of step {evaluation.step}": Table([], [])}


def test_each_better_validation_is_drawn_at_its_step(run: RunFolder) -> None:
    paper, best = Paper(), Best(run, "val/acc")
    callback = DrawBest(Words(), run, best)  # type: ignore[arg-type]
    module: Any = SimpleNamespace(evaluation=evaluation(1), tables={})
    callback.on_validation_end(_validated(0.9, 0, [paper], sanity=True), module)
    for score, step in ((0.5, 10), (0.4, 20), (0.75, 30), (float("nan"), 40)):
        callback.on_validation_end(_validated(score, step, [paper]), module)
        best.best_model_score = torch.tensor(max(score, float(best.best_model_score or 0)))
    assert paper.drawn == [(9, ["val/classes"]), (29, ["val/classes"])]


def test_the_recorded_predictions_are_drawn_at_the_end(run: RunFolder) -> None:
    paper: Any = Paper()
    best = Best(run, "val/acc")
    DrawBest(Words(), run, best).on_fit_end(_validated(0.5, 40, [paper]), None)  # type: ignore[arg-type]
    assert paper.drawn == []
    save_evaluation(evaluation(30), run.best_predictions)
    DrawBest(Words(), run, best).on_fit_end(_validated(0.5, 40, [paper]), None)  # type: ignore[arg-type]
    assert paper.drawn == [(40, ["val/predictions of step 30"])]


@pytest.mark.parametrize(("loggers", "evaluation"), [([object()], evaluation(1)), ([Paper()], None)])
def test_nothing_is_computed_that_nobody_draws(loggers: list[Any], evaluation: Any, run: RunFolder) -> None:
    best = Best(run, "val/acc")
    module: Any = SimpleNamespace(evaluation=evaluation, tables={})
    DrawBest(None, run, best).on_validation_end(_validated(0.5, 1, loggers), module)  # type: ignore[arg-type]
