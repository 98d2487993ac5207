"""What every task shares: a network, its weights, its plan, its optimizer, and what a checkpoint says of them."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from lightning import Callback, LightningModule
from lightning.pytorch.utilities import rank_zero_info
from torch import nn

from resnet_tl.errors import RecipeError
from resnet_tl.models.macs import stage_macs
from resnet_tl.models.network import Backbone, HeadFactory, NeckFactory, Network, build, public_keys
from resnet_tl.models.resnet import shapes_by_variant
from resnet_tl.recipe.schema import import_path
from resnet_tl.recipe.values import as_plain
from resnet_tl.structures.records import Preprocessing
from resnet_tl.tuning.callback import FineTuning
from resnet_tl.tuning.plan import Tuning
from resnet_tl.tuning.rates import Optimizer, Schedule, build_optimizer, build_schedule, parameter_groups
from resnet_tl.weights.load import load_weights
from resnet_tl.weights.records import WeightRecord
from resnet_tl.weights.report import Report


class Task(LightningModule):
    """Wires a network to its tuning; the tasks add loss, metrics and what they log.

    Args:
        classes: K names, in the order of the head's outputs.
        backbone: the trunk and its weights.
        head: levels, classes -> head; a class, or `functools.partial` of one with its options.
        neck: levels -> neck, or None.
        tuning: phases, norms, averaging.
        optimizer, schedule: the rate and how it goes.

    Every evaluation leaves its `tables` and, where it takes no time, the 95 % `interval` of the score that
    `metrics.headline` names.
    """

    metrics: Any
    tables: dict[str, Any]
    interval: tuple[float, float] | None = None

    def __init__(
        self,
        classes: list[str],
        *,
        backbone: Backbone,
        head: HeadFactory,
        neck: NeckFactory | None = None,
        tuning: Tuning,
        optimizer: Optimizer,
        schedule: Schedule,
    ) -> None:
        super().__init__()
        self.classes = list(classes)
        self.backbone, self.head, self.neck = backbone, head, neck
        self.tuning, self.optimizer, self.schedule = tuning, optimizer, schedule
        self.network: Network = build(backbone, neck, head, self.classes)
        self.preprocessing: Preprocessing = self.network.preprocessing
        self.loaded_stages: list[str] = []
        self.recipe: dict[str, Any] = {}
        """The whole recipe, resolved, where there is one: it goes into the checkpoints."""
        self.eval_transforms: list[dict[str, Any]] | None = None
        self.colours: list[list[int]] | None = None
        self.codes: list[int] | None = None
        """Of the classes, the data's own numbers, where it has any."""
        if backbone.weights is not None:
            self._load_weights(backbone.weights)

    def stages(self) -> dict[str, list[nn.Module]]:
        return self.network.stages()

    @property
    def peak_rate(self) -> float:
        """The highest rate of the schedule, before a phase's factors."""
        return self.optimizer.lr

    def stage_macs(self) -> dict[str, int]:
        """Multiply-accumulates of an image by stage."""
        # 0: images as they are, whatever their size; shares between stages are nearly the same at any.
        return stage_macs(self.network, self.preprocessing.size or Preprocessing.size)

    def configure_callbacks(self) -> Sequence[Callback]:
        return [FineTuning(self.tuning)]

    def configure_optimizers(self) -> Any:
        optimizer = build_optimizer(self.optimizer, parameter_groups(self.stages(), self.optimizer.weight_decay))
        steps = int(self.trainer.estimated_stepping_batches)
        an_epoch = math.ceil(self.trainer.num_training_batches / self.trainer.accumulate_grad_batches)
        return {"optimizer": optimizer, "lr_scheduler": self.configure_schedule(optimizer, steps, an_epoch)}

    def configure_schedule(
        self, optimizer: torch.optim.Optimizer, steps: int, steps_per_epoch: float
    ) -> dict[str, Any]:
        """The schedule over the next `steps`, of a run or of a phase that restarts it."""
        return build_schedule(self.schedule, optimizer, self.optimizer.lr, steps, steps_per_epoch)

    def setup(self, stage: str) -> None:
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if data is None:
            return
        if data.channels != self.backbone.in_channels:
            raise RecipeError(
                f"data.channels is {data.channels}, but model.backbone.in_channels is {self.backbone.in_channels}; "
                "they must be equal"
            )
        wanted = self.network.preprocessing
        used = data.evaluation_preprocessing(wanted)
        if used != wanted and self.backbone.weights is not None and self.preprocessing == wanted:
            rank_zero_info(_difference(wanted, used))
        self.preprocessing = used
        self.eval_transforms = data.eval_transforms

    def on_validation_epoch_end(self) -> None:
        self._log_metrics("val")

    def on_test_epoch_end(self) -> None:
        self._log_metrics("test")

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        from resnet_tl.checkpoint import bundle

        checkpoint["resnet_tl"] = bundle(
            self.recipe.get("model") or self.spec(),
            self.classes,
            self.preprocessing,
            self.recipe,
            eval_transforms=self.eval_transforms,
            colours=self.colours,
            codes=self.codes,
        )

    def spec(self) -> dict[str, Any]:
        """The recipe's `model` section, resolved: plain Python, enough to build this task again."""
        parts = ("backbone", "head", "neck", "tuning", "optimizer", "schedule", "inference")
        init_args = {name: as_plain(getattr(self, name)) for name in parts if getattr(self, name, None) is not None}
        return {"class_path": import_path(type(self)), "init_args": init_args}

    @abstractmethod
    def _log_metrics(self, split: str) -> None:
        """Logs what an evaluation of `split` found, leaves `tables` and `interval`, and begins anew."""

    def _load_weights(self, weights: str) -> WeightRecord:
        keys = public_keys(self.network)
        record, report = load_weights(
            self.network,
            weights,
            sha256=self.backbone.sha256,
            keys=keys,
            classes=self.classes,
            keep_classifier=self.backbone.keep_classifier,
            candidates=shapes_by_variant,
        )
        self.network.set_preprocessing(record.preprocessing)
        self.preprocessing = record.preprocessing
        self.loaded_stages = _stages_loaded(self.network, report, keys)
        rank_zero_info(str(report))
        return record


def _stages_loaded(network: Network, report: Report, keys: dict[str, str]) -> list[str]:
    """Stages all of whose parameters came from the file."""
    filled = set(report.loaded) | set(report.adapted)
    names = {id(parameter): keys.get(name) for name, parameter in network.named_parameters()}
    return [
        stage
        for stage, modules in network.stages().items()
        if all(names[id(parameter)] in filled for module in modules for parameter in module.parameters())
    ]


def _difference(wanted: Preprocessing, used: Preprocessing) -> str:
    parts = [
        f"{name} {getattr(used, name)} (weights: {getattr(wanted, name)})"
        for name in ("size", "crop", "interpolation")
        if getattr(used, name) != getattr(wanted, name)
    ]
    return f"The data section differs from what the weights were made for: {', '.join(parts)}."
