"""The base of all tasks: network, weights, plan, optimizer, evaluation, and what checkpoints store about them."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from inspect import signature
from typing import Any, Literal

import numpy as np
import torch
from lightning import Callback, LightningModule
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from numpy.typing import NDArray
from torch import Tensor, nn

from resnet_tl import lightning_internals
from resnet_tl.errors import RecipeError, WeightsError
from resnet_tl.metrics.mean import Mean
from resnet_tl.metrics.per_class import Tables, old_and_new
from resnet_tl.metrics.record import Record
from resnet_tl.models.heads.base import Head
from resnet_tl.models.macs import stage_macs
from resnet_tl.models.network import Backbone, HeadFactory, NeckFactory, Network, build, public_keys
from resnet_tl.models.resnet import shapes_by_variant
from resnet_tl.recipe.schema import import_path
from resnet_tl.recipe.values import as_plain
from resnet_tl.structures.evaluation import Evaluation
from resnet_tl.structures.records import Batch, Code, Features, Preprocessing
from resnet_tl.tasks.micro_batches import MicroBatches
from resnet_tl.tuning.callback import FineTuning
from resnet_tl.tuning.compile import CompiledLosses
from resnet_tl.tuning.plan import Tuning
from resnet_tl.tuning.rates import Optimizer, Schedule, build_optimizer, build_schedule, parameter_groups, warmup_steps
from resnet_tl.tuning.regularisers.collection import Regularisers
from resnet_tl.weights.load import load_weights
from resnet_tl.weights.records import WeightRecord
from resnet_tl.weights.report import Report

MICRO_BATCH = "micro_batch"
"""The key of a checkpoint under which a resumed run finds its `trainer.micro_batch`."""


class Task(LightningModule):
    """A network with its tuning; tasks add the loss and the metrics.

    Args:
        classes: K names, in the order of the head's outputs.
        backbone: the trunk and its weights.
        head: called with levels and classes; a class, or `functools.partial` of one with its options.
        neck: called with levels; None: no neck.
        tuning: phases, norms, averaging.
        optimizer: its name, learning rate and weight decay.
        schedule: of the learning rate.

    Attributes:
        evaluation: predictions and targets of the last evaluation, image by image; None without a data module
            and for a set that is too large.
        tables: of the last evaluation, per class.
        interval: 95 % interval of the score that `metrics.headline` names, after validation or test outside of
            training; None for metrics without one.
    """

    metrics: Any
    compiled: CompiledLosses | None = None
    """Runs `losses` in training; set by `FineTuning`."""
    solved: Mapping[str, float] = {}
    """Of the head that a phase has solved: `phase`, and see `tuning.solved_head.solve_head`; set by `FineTuning`."""
    regularisers: Regularisers | None = None
    """Those that look into the network in training; set by `FineTuning`."""
    evaluation: Evaluation | None = None
    tables: Tables
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
        self.regulariser_layers = nn.ModuleDict()
        """Layers that regularisers train at the head's rate; predictions do not use them."""
        self.preprocessing: Preprocessing = self.network.preprocessing
        self.loaded_stages: list[str] = []
        self.new_classes: list[str] = []
        """Those that `backbone.keep_classifier: known` did not find in the weights; empty without it."""
        self.recipe: dict[str, Any] = {}
        """The whole resolved recipe, if there is one, for the checkpoints."""
        self.eval_transforms: list[dict[str, Any]] | None = None
        self.colours: list[list[int]] | None = None
        self.codes: list[Code] | None = None
        """The data's own numbers of the classes, if it has any."""
        self.mean_loss = Mean()
        self.record = Record()
        self.micro_batches = MicroBatches()
        if backbone.weights is not None:
            self._load_weights(backbone.weights)

    def stages(self) -> dict[str, list[nn.Module]]:
        stages = self.network.stages()
        return {**stages, "head": [*stages["head"], *self.regulariser_layers.values()]}

    def classifier_input(self) -> nn.Module | None:
        """Returns the module whose input is the features `[N, C]` of the classifier; None: there is no such vector."""
        return None

    def reads_images(self) -> str | None:
        """Returns the setting that needs the images of the current phase, cached features or not; None: nothing."""
        return None if self.regularisers is None else self.regularisers.reads_images()

    def blocks(self) -> dict[str, list[nn.Module]]:
        return self.network.blocks()

    @property
    def peak_rate(self) -> float:
        """The schedule's highest rate, before a phase's factors."""
        return self.optimizer.lr

    def stage_macs(self) -> dict[str, int]:
        """Returns the multiply-accumulates per image by stage."""
        # Size 0 means images of any size; the shares of the stages are nearly the same at all sizes.
        return stage_macs(self.network, self.preprocessing.size or Preprocessing.size)

    def configure_callbacks(self) -> Sequence[Callback]:
        return [FineTuning(self.tuning)]

    def configure_optimizers(self) -> Any:
        optimizer = build_optimizer(self.optimizer, parameter_groups(self.stages(), self.optimizer.weight_decay))
        steps = int(self.trainer.estimated_stepping_batches)
        steps_per_epoch = math.ceil(self.trainer.num_training_batches / self.trainer.accumulate_grad_batches)
        return {"optimizer": optimizer, "lr_scheduler": self.configure_schedule(optimizer, steps, steps_per_epoch)}

    def configure_schedule(
        self, optimizer: torch.optim.Optimizer, steps: int, steps_per_epoch: float
    ) -> dict[str, Any]:
        """Returns the schedule over the next `steps`, of a run or of a phase that restarts it."""
        warmup, asked = warmup_steps(self.schedule, steps, steps_per_epoch)
        if warmup < asked:
            rank_zero_info(
                f"schedule.warmup_epochs is {self.schedule.warmup_epochs:g}, {asked} steps, too long for a schedule of "
                f"{steps} steps: it is shortened to {warmup}"
            )
        built = build_schedule(self.schedule, optimizer, self.optimizer.lr, steps, steps_per_epoch)
        if "monitor" in built and built["monitor"].startswith("val/"):
            built["frequency"] = self.trainer.check_val_every_n_epoch or 1
        return built

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        if metric is not None:  # ranks must agree, and a loss of training is that of a rank's own images
            metric = self.trainer.strategy.reduce(metric, reduce_op="mean")
        super().lr_scheduler_step(scheduler, metric)

    @classmethod
    def load_from_checkpoint(cls, checkpoint_path: Any, *args: Any, **options: Any) -> Any:
        """Lightning's way, with all arguments of the task again."""
        if "classes" in signature(cls).parameters and "classes" not in options:
            raise WeightsError(
                f"{cls.__name__}.load_from_checkpoint makes a task of the arguments that it is called with, and classes"
                f" is not one of them; resnet_tl.load({str(checkpoint_path)!r}) makes a predictor of what is stored"
            )
        return super().load_from_checkpoint(checkpoint_path, *args, **options)

    @property
    def data(self) -> Any:
        """The Trainer's data module, or None."""
        return getattr(self.trainer, "datamodule", None)

    def setup(self, stage: str) -> None:
        if self.data is not None:
            self.use_data(self.data, stage)

    def use_data(self, data: Any, stage: str) -> None:
        """Takes over settings of the data module, before it is used."""
        if data.channels != self.backbone.in_channels:
            raise RecipeError(
                f"data.channels is {data.channels}, but model.backbone.in_channels is {self.backbone.in_channels}; "
                "they must be equal"
            )
        expected = self.network.preprocessing
        used = data.evaluation_preprocessing(expected)
        if used != expected and self.backbone.weights is not None and self.preprocessing == expected:
            rank_zero_info(_difference(expected, used))
        self.preprocessing = used
        self.eval_transforms = data.eval_transforms

    def on_train_start(self) -> None:
        hooks = ("training_step", "backward", "optimizer_zero_grad")
        overridden = any(getattr(type(self), name) is not getattr(Task, name) for name in hooks)
        self.micro_batches.start(self, overridden=overridden)

    def on_train_epoch_start(self) -> None:
        self.micro_batches.start_epoch(self)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return self.micro_batches.step(self, batch, batch_idx)

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: Any) -> None:
        if not self.micro_batches.done:
            super().optimizer_zero_grad(epoch, batch_idx, optimizer)

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        if loss.requires_grad:
            super().backward(loss, *args, **kwargs)
        self.micro_batches.after_backward(self)

    def configure_gradient_clipping(
        self,
        optimizer: Any,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        # `ShardedHead` has its own way.
        clip = getattr(self.trainer.strategy, "clip_gradients", self.clip_gradients)
        clip(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def whole_batch(self, batch: Batch) -> Batch:
        """Returns a training batch after what acts on all of its images together, as mixup does."""
        return batch

    def loss_terms(self, batch: Batch) -> dict[str, Tensor]:
        """Returns the terms of the loss of a training batch, or of a micro-batch, that `whole_batch` has returned."""
        images = self.network.normalise(batch.images, batch.sizes)
        return self.training_losses(images, batch.sizes, batch.targets)

    def losses(self, images: Tensor | Features, sizes: Tensor | None, targets: Any) -> dict[str, Tensor]:
        """Returns the terms of the loss, of normalised images `[N, C, H, W]` or features: what `tuning.compile: all`
        compiles."""
        return self.network.head.loss(self.network.run(images, sizes), targets)

    def training_losses(self, images: Any, sizes: Tensor | None, targets: Any, share: float = 0) -> dict[str, Tensor]:
        """Returns `losses`, compiled where they are, and regularisers' terms (`share`: `Step.unlabelled`)."""
        run = self.losses if self.compiled is None else self.compiled
        features = self.network.run_prefix(images)
        if self.regularisers is None:
            return run(features, sizes, targets)
        return self.regularisers.add_to(lambda: run(features, sizes, targets), self, images, targets, share)

    def log_loss(self, terms: Mapping[str, Tensor], images: int) -> Tensor:
        """Logs the loss of a training batch and the terms of regularisers, and returns the sum of all terms."""
        loss = total(terms)
        penalties = [] if self.regularisers is None else [name for name in self.regularisers.names if name in terms]
        for name, value in {"loss": loss, **{name: terms[name] for name in penalties}}.items():
            if not lightning_internals.log_again(self, f"train/{name}", value.detach()):
                self.log(f"train/{name}", value.detach(), prog_bar=name == "loss", batch_size=images)
        return loss

    def calibration_step(self, batch: Batch) -> None:
        """Runs the network as in training, for `tuning.recalibrate`."""
        self.network(batch.images, batch.sizes)

    def validation_step(self, batch: Batch, batch_idx: int) -> Any:
        return self._evaluate(batch, "val")

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self._evaluate(batch, "test")

    def on_validation_epoch_end(self) -> None:
        self._log_metrics("val")

    def on_test_epoch_end(self) -> None:
        self._log_metrics("test")

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        from resnet_tl.checkpoint import bundle

        checkpoint[MICRO_BATCH] = self.micro_batches.size
        checkpoint["resnet_tl"] = bundle(
            self.recipe.get("model") or self.spec(),
            self.classes,
            self.preprocessing,
            self.recipe,
            eval_transforms=self.eval_transforms,
            colours=self.colours,
            codes=self.codes,
            new_classes=self.new_classes,
        )

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        saved = checkpoint.get(MICRO_BATCH)
        self.micro_batches.size = self.micro_batches.size if saved is None else saved

    def spec(self) -> dict[str, Any]:
        """Returns the recipe's resolved `model` section: plain Python, enough to build this task again."""
        parts = ("backbone", "head", "neck", "tuning", "optimizer", "schedule", "inference")
        init_args = {name: as_plain(getattr(self, name)) for name in parts if getattr(self, name, None) is not None}
        return {"class_path": import_path(type(self)), "init_args": init_args}

    @abstractmethod
    def _evaluate(self, batch: Batch, split: Literal["val", "test"]) -> Any:
        """Adds a batch to `metrics` and `mean_loss`; what it returns is the output of `validation_step`."""

    def _evaluation(self, shared: dict[str, Any], rows: dict[str, NDArray]) -> Evaluation:
        """Builds the evaluation of the pass, for tasks whose `_evaluate` adds to `record`.

        Args:
            shared: the fields of `Evaluation`, except `losses`.
            rows: the columns of `record`.
        """
        raise NotImplementedError

    @property
    def has_loss(self) -> bool:
        """Whether the network has a loss: one from an exported file does not."""
        return isinstance(self.network.head, Head)

    @property
    def fitting(self) -> bool:
        """Whether an evaluation is part of training."""
        return self.trainer.state.fn == TrainerFn.FITTING

    def _metric_options(self) -> dict[str, Any]:
        """Returns arguments of `metrics.compute` and `metrics.tables`."""
        return {}

    def _log_metrics(self, split: str) -> None:
        """Logs the metrics of an evaluation, stores its `tables` and `interval`, and resets the metrics."""
        options = self._metric_options()
        loss, metrics = self.mean_loss.compute(), self.metrics.compute(**options)
        self.tables = self.metrics.tables(**options)
        if self.new_classes:
            metrics |= old_and_new(self.tables["per_class"], self.metrics.headline, self.new_classes)
        if not loss.isfinite():
            # An argmax over NaN is the first class: such an epoch would have a score, and might be the best.
            metrics = dict.fromkeys(metrics, math.nan)
            reason = f"the {split} loss is {float(loss)}: " if self.has_loss else f"{split}: "
            rank_zero_warn(f"{reason}outputs are NaN or infinite, so all metrics are NaN")
        values = {"loss": loss, **metrics} if self.has_loss else metrics
        self.log_dict({f"{split}/{name}": value for name, value in values.items()})
        self.evaluation = self._evaluation_of(split) if self.record.update_called else None
        if not self.fitting and hasattr(self.metrics, "interval"):  # it takes seconds for a large multi-label set
            self.interval = self.metrics.interval()
        self.metrics.reset()
        self.mean_loss.reset()
        self.record.reset()

    def _evaluation_of(self, split: str) -> Evaluation:
        listing, rows = self.data.evaluated(split), self.record.compute()
        keys = np.array([listing.key(index) for index in rows["indices"].tolist()], np.str_)
        shared = {"classes": self.classes, "root": str(listing.root), "split": split, "step": self.global_step}
        return self._evaluation({**shared, "absent": list(self.data.absent), "keys": keys}, rows)

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
        self.new_classes = report.new_classes
        rank_zero_info(str(report))
        return record


def total(terms: Mapping[str, Tensor]) -> Tensor:
    """Returns the sum of a loss's terms."""
    if len(terms) == 1:
        return next(iter(terms.values()))
    return torch.stack(list(terms.values())).sum()


def _stages_loaded(network: Network, report: Report, keys: dict[str, str]) -> list[str]:
    """Returns the stages whose parameters were all loaded from the file; no head with rows of new classes."""
    filled = set(report.loaded) | set(report.adapted)
    names = {id(parameter): keys.get(name) for name, parameter in network.named_parameters()}
    return [
        stage
        for stage, modules in network.stages().items()
        if all(names[id(parameter)] in filled for module in modules for parameter in module.parameters())
        and not (stage == "head" and report.new_classes)
    ]


def _difference(expected: Preprocessing, used: Preprocessing) -> str:
    parts = [
        f"{name} {getattr(used, name)} (weights: {getattr(expected, name)})"
        for name in ("size", "crop", "interpolation")
        if getattr(used, name) != getattr(expected, name)
    ]
    return f"The data section differs from the weights' preprocessing: {', '.join(parts)}."
