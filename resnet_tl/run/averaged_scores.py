"""Scores of averaged weights, on one set of images, after their norms' statistics are estimated again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, NamedTuple

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn

from resnet_tl.checkpoint import Bundle
from resnet_tl.data.base import ImageData
from resnet_tl.run.build import Overrides
from resnet_tl.run.evaluated import Evaluated
from resnet_tl.run.evaluation_recipe import build_evaluation, recipe_for
from resnet_tl.run.trainer import build_trainer, translate_errors
from resnet_tl.tuning.freezing import freeze
from resnet_tl.tuning.recalibration import recalibrate

Weights = dict[str, Tensor]

BATCHES = 100
"""Training batches over which the running statistics of norms are estimated again; fewer if an epoch has fewer."""


class Score(NamedTuple):
    """value: of the headline metric. interval: 95 %, None for metrics without one."""

    value: float
    interval: tuple[float, float] | None


class Scorer:
    """Scores weights on the first run's validation images, as `validate` does.

    Attributes:
        notes: about the images and the norms.
    """

    def __init__(self, bundles: Sequence[Bundle], overrides: Overrides) -> None:
        first = Evaluated(bundles[0])
        recipe = recipe_for(first, [], overrides)
        self.data, self.task = build_evaluation(recipe, first)
        self._first = bundles[0]
        self._options = {**recipe["trainer"], "precision": "32-true", "devices": 1}
        self.notes = [*self.data.notes]
        freeze(_same_norms(self.task.network, [bundle.state_dict for bundle in bundles]))

    def score(self, state: Weights, callbacks: Sequence[Callback] = ()) -> Score:
        Evaluated(replace(self._first, state_dict=state)).put_into(self.task)
        trainer = build_trainer(self._options, callbacks=[*callbacks], loggers=[])
        with translate_errors():
            (metrics,) = trainer.validate(self.task, datamodule=self.data, verbose=False)
        return Score(metrics[f"val/{self.task.metrics.headline}"], self.task.interval)

    def recalibrated(self, state: Weights) -> Score:
        """Scores weights with statistics of their own, which replace those in `state`."""
        score = self.score(state, [_Recalibration(self.data)])
        state.update({key: tensor.detach().cpu().clone() for key, tensor in self.task.network.state_dict().items()})
        return score


class _Recalibration(Callback):
    """Estimates the statistics of norms again, before a validation."""

    def __init__(self, data: ImageData) -> None:
        self._data = data

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        batches = islice(self._data.train_dataloader(), BATCHES)
        step: Callable[[Any], None] = pl_module.calibration_step  # type: ignore[assignment]
        recalibrate(pl_module, step, map(trainer.strategy.batch_to_device, batches))


def _same_norms(network: nn.Module, states: Sequence[Mapping[str, Tensor]]) -> list[nn.Module]:
    """The norms whose statistics are the same in all: training has kept them."""
    return [
        part
        for name, part in network.named_modules()
        if (key := f"{name}.running_mean") in states[0]
        and all(torch.equal(states[0][key], each[key]) for each in states)
    ]
