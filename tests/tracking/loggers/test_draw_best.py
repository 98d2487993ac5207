"""Loggers draw the validations that are better than all before."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from resnet_tl.tracking.loggers.draw_best import DrawBest
from resnet_tl.tracking.loggers.drawings import Drawing, Draws, Table


class Paper(Draws):
    def __init__(self) -> None:
        self.drawn: list[tuple[int, list[str]]] = []

    def draw(self, drawings: Mapping[str, Drawing], step: int) -> None:
        self.drawn.append((step, list(drawings)))


def _validated(score: float, step: int, loggers: list[Any], sanity: bool = False) -> Any:
    metrics = {"val/acc": torch.tensor(score)}
    return SimpleNamespace(
        loggers=loggers, sanity_checking=sanity, is_global_zero=True, callback_metrics=metrics, global_step=step
    )


def test_each_better_validation_is_drawn_at_its_step() -> None:
    paper, best = Paper(), SimpleNamespace(monitor="val/acc", best_model_score=None)
    callback = DrawBest(lambda evaluation, tables: {"val/classes": Table([], [])}, best)  # type: ignore[arg-type]
    module: Any = SimpleNamespace(evaluation=object(), tables={})
    callback.on_validation_end(_validated(0.9, 0, [paper], sanity=True), module)
    for score, step in ((0.5, 10), (0.4, 20), (0.75, 30), (float("nan"), 40)):
        callback.on_validation_end(_validated(score, step, [paper]), module)
        best.best_model_score = torch.tensor(max(score, float(best.best_model_score or 0)))
    assert paper.drawn == [(9, ["val/classes"]), (29, ["val/classes"])]


@pytest.mark.parametrize(("loggers", "evaluation"), [([object()], object()), ([Paper()], None)])
def test_nothing_is_computed_that_nobody_draws(loggers: list[Any], evaluation: Any) -> None:
    def never(*arguments: Any) -> dict[str, Drawing]:
        raise AssertionError

    best: Any = SimpleNamespace(monitor="val/acc", best_model_score=None)
    module: Any = SimpleNamespace(evaluation=evaluation, tables={})
    DrawBest(never, best).on_validation_end(_validated(0.5, 1, loggers), module)
