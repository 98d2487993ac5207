"""FineTuning: carries out a plan inside Lightning's Trainer. The only file here that imports lightning."""

from __future__ import annotations

import math
from itertools import islice
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import DDPStrategy, DeepSpeedStrategy, SingleDeviceStrategy
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from resnet_tl.errors import RecipeError, did_you_mean
from resnet_tl.tuning import feature_cache, prefix
from resnet_tl.tuning.anchor import Anchor
from resnet_tl.tuning.average import Average
from resnet_tl.tuning.freezing import freeze, held_keys, kinds_in, unfreeze, unfreeze_only
from resnet_tl.tuning.parting import PartedSteps, check_held
from resnet_tl.tuning.plan import KINDS, Phase, Plan, Stretch, Tuning, resolve
from resnet_tl.tuning.plateau import Plateau
from resnet_tl.tuning.recalibration import recalibrate
from resnet_tl.tuning.replicas import equalise
from resnet_tl.tuning.resume import Position
from resnet_tl.tuning.stages import Paths, owners, stages_of
from resnet_tl.tuning.table import table

RAW_STATE = "raw_state_dict"
POSITION = "position"


class FineTuning(Callback):
    """Freezes, thaws and paces the stages of a LightningModule as its plan says.

    Args:
        tuning: the plan.
        stages: stage name -> path or paths in the LightningModule, globs allowed (`{"trunk": "net.layer*", "head":
            "net.fc"}`), input to output; every parameter in exactly one. None asks the module's own `stages()`.

    The optimizer is the module's own, with any groups; it must hold every parameter that some phase trains.
    """

    def __init__(self, tuning: Tuning | None = None, stages: Paths | None = None) -> None:
        self.tuning = tuning or Tuning(phases=[Phase()])
        self.paths = stages
        self.average: Average | None = None
        self.parted: list[PartedSteps] = []
        self.phase = -1
        self.plateau: Plateau | None = None
        self.anchor: Anchor | None = None
        self.recalibrated = False
        self.best: dict[str, dict[str, Tensor]] = {}
        """Of a phase with `restore_best`: weights, and their average, at its best validation."""
        self.position = Position()
        self._stepped = self._swapped = False
        self._loaded: list[dict[str, Any]] | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage != "fit":
            return
        self.recalibrated = False
        self.stages = stages_of(pl_module, self.paths)
        if trainer.max_epochs is None or trainer.max_epochs < 1:
            raise RecipeError(
                f"trainer.max_epochs is {trainer.max_epochs}, expected the epochs that the plan is laid over"
            )
        loaded = getattr(pl_module, "loaded_stages", None)
        kinds = {stage: kinds_in(modules) for stage, modules in self.stages.items()}
        self.plan: Plan = resolve(self.tuning, list(self.stages), trainer.max_epochs, loaded, kinds)
        _check_strategy(trainer, self.plan)
        _check_restart(self.plan, pl_module)
        if self.tuning.l2_sp:  # before a checkpoint is loaded
            known = list(self.stages)[:-1] if loaded is None else loaded
            self.anchor = Anchor({stage: self.stages[stage] for stage in known}, self.tuning.l2_sp)
        # Before the strategy wraps the module: DistributedDataParallel reduces only what is trainable then.
        self._enter(self.plan.phase(trainer.current_epoch))

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # The strategy may have put other modules in place of some (SyncBatchNorm): these are to be held, too.
        self.stages = stages_of(pl_module, self.paths)
        macs = pl_module.stage_macs() if hasattr(pl_module, "stage_macs") else None  # type: ignore[operator]
        rate = getattr(pl_module, "peak_rate", None)
        rank_zero_info(table(self.plan, self.stages, self.tuning.norm, rate, macs))
        self._freeze()
        self._run_frozen_part(pl_module)
        owner = owners(self.stages)
        trained = {stage for stretch in self.plan.stretches for stage in stretch.trained}
        learning = {name: p for name, p in pl_module.named_parameters() if owner[id(p)] in trained}
        check_held(trainer.optimizers, learning, owner)
        undecayed = self.anchor.stages if self.anchor is not None else []
        self.parted = [PartedSteps(o, owner, lambda: self.stretch.factors, undecayed) for o in trainer.optimizers]
        if self.tuning.ema is not None and self.average is None:
            self.average = Average(pl_module, self.tuning.ema)
        spans = [span for span in self.plan.spans() if span[1] > self.stretch.start]
        for span in reversed(spans if len(self.plan.spans()) > 1 else []):  # the last one built is the first to count
            _start_schedule(trainer, pl_module, span)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.plan.phase(trainer.current_epoch) == self.phase:
            self._keep_features(trainer, pl_module)
        if self._loaded is None:
            return
        warning = self.position.restore(trainer, pl_module, self._loaded)
        self._loaded = None
        for config in trainer.lr_scheduler_configs:
            _rate_of_now(config.scheduler)
        if warning:
            rank_zero_warn(warning)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if pl_module.automatic_optimization:  # the step of loggers, which Lightning miscounts by one on some restarts
            trainer.fit_loop.epoch_loop._batches_that_stepped = trainer.global_step

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.plateau is not None and self.plateau.stalled and self.phase + 1 < len(self.plan.stretches):
            self.plan = self.plan.begun(self.phase + 1, trainer.current_epoch)
        phase = self.plan.phase(trainer.current_epoch)
        if phase != self.phase:
            self._change(trainer, pl_module, phase)
        self.position.mark(trainer)

    def _change(self, trainer: Trainer, pl_module: LightningModule, phase: int) -> None:
        self._equalise(pl_module)
        self._restore_best(trainer, pl_module)
        self._enter(phase)
        self._run_frozen_part(pl_module)
        if self.stretch.phase.restart:
            _start_schedule(trainer, pl_module, next(s for s in self.plan.spans() if s[0] == self.stretch.start))
        if self.average is not None:
            self.average.settle(pl_module, held_keys(pl_module))
        pl_module.zero_grad(set_to_none=True)
        _wrap_anew(trainer)
        self._keep_features(trainer, pl_module)

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        # Where it is going to be written: logging a rate a stage takes longer than a step of a head on kept features.
        if not trainer.loggers or trainer._logger_connector.should_update_logs:
            rates = {f"lr/{stage}": _exact(rate) for parted in self.parted for stage, rate in parted.rates().items()}
            pl_module.log_dict({**rates, "phase": float(self.phase)})
        self._stepped = True
        if self.anchor is not None:
            self.anchor.pull()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        if self.average is not None and self._stepped:
            self.average.update(pl_module)
        self._stepped = False
        self.position.mark(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == TrainerFn.FITTING:
            self._equalise(pl_module)
        self._swap(pl_module)
        if trainer.state.fn != TrainerFn.FITTING or trainer.sanity_checking:
            return
        ends = trainer.fit_loop.epoch_loop.batch_progress.is_last_batch
        if self.tuning.recalibrate and ends and trainer.current_epoch + 1 >= (trainer.max_epochs or 0):
            self._recalibrate(trainer, pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._swap(pl_module)
        if trainer.state.fn != TrainerFn.FITTING or trainer.sanity_checking:
            return
        self.position.rewind(trainer)  # training draws the same, validated or not
        if self.plateau is not None:
            self._watch(trainer, pl_module, self.plateau)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Before the checkpoint of the run's end, where no validation came before it that was known to be the last."""
        last = trainer.current_epoch + 1 >= (trainer.max_epochs or 0)
        if (last or trainer.should_stop) and self.tuning.recalibrate and not self.recalibrated:
            self._swap(pl_module)
            self._recalibrate(trainer, pl_module)
            self._swap(pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._restore_best(trainer, pl_module)

    def state_dict(self) -> dict[str, Any]:
        """The phases begun, by their first epochs, and how far the one that counts is from its end."""
        starts = [stretch.start for stretch in self.plan.stretches[: self.phase + 1]]
        plateau = {} if self.plateau is None else self.plateau.state_dict()
        anchor = None if self.anchor is None else self.anchor.digest()
        return {"starts": starts, "plateau": plateau, "best": self.best, "anchor": anchor}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self.phase < 0:  # for validation alone
            return
        for number, start in enumerate(state["starts"]):
            self.plan = self.plan.begun(number, start)
        self._enter(len(state["starts"]) - 1)
        if self.plateau is not None:
            self.plateau.load_state_dict(state["plateau"])
        self.best = state["best"]
        if self.anchor is not None:
            self.anchor.check(state["anchor"])

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        for parted in self.parted:
            parted.restore()
        self._run_all(trainer, pl_module)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.average is not None:
            pl_module.load_state_dict(self.average.state)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        self._equalise(pl_module)  # in place: what the checkpoint holds are the module's tensors
        checkpoint[POSITION] = self.position.state(trainer, pl_module)
        if self.average is None:
            return
        held = {key: tensor.clone() for key, tensor in self.average.state.items()}
        if self._swapped:  # within a validation
            checkpoint[RAW_STATE] = held
        else:
            checkpoint[RAW_STATE], checkpoint["state_dict"] = checkpoint["state_dict"], held

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        if self.tuning.ema is not None and RAW_STATE in checkpoint:
            self.average = Average(pl_module, self.tuning.ema)
            pl_module.load_state_dict(checkpoint[RAW_STATE])
        if trainer.state.fn == TrainerFn.FITTING:
            self._loaded = checkpoint.get(POSITION)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._run_all(trainer, pl_module)

    @property
    def stretch(self) -> Stretch:
        return self.plan.stretches[self.phase]

    def _enter(self, phase: int) -> None:
        self.phase, self.best = phase, {}
        self.plateau = Plateau(self.stretch.phase) if self.stretch.phase.until == "plateau" else None
        self._freeze()

    def _freeze(self) -> None:
        for stage in self.stretch.frozen:
            freeze(self.stages[stage])
        for stage in self.stretch.trained:
            frozen, parts = self.tuning.norm == "frozen", self.stretch.parts.get(stage)
            if parts:
                unfreeze_only(self.stages[stage], parts, norms_frozen=frozen)
            else:
                unfreeze(self.stages[stage], norms_frozen=frozen)

    def _watch(self, trainer: Trainer, pl_module: LightningModule, plateau: Plateau) -> None:
        name = self.stretch.phase.monitor
        if name not in trainer.callback_metrics:
            near = did_you_mean(name, trainer.callback_metrics)
            raise RecipeError(f"tuning.phases[{self.phase}].monitor is {name!r}, which validation does not log{near}")
        seen = trainer.strategy.reduce(trainer.callback_metrics[name], reduce_op="mean")  # ranks must agree
        if plateau.see(float(seen)) and self.stretch.phase.restore_best:
            averages = {} if self.average is None else self.average.state
            weights = {"raw": pl_module.state_dict(), "average": averages}
            self.best = {kind: {key: value.clone() for key, value in state.items()} for kind, state in weights.items()}
        if plateau.stalled and self.phase + 1 == len(self.plan.stretches):
            trainer.should_stop = True

    def _restore_best(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Back to the best validation's weights; the momentum gathered since belongs to others."""
        if self.best:
            pl_module.load_state_dict(self.best["raw"])
            for optimizer in trainer.optimizers:
                optimizer.state.clear()
            if self.average is not None:
                self.average.load(self.best["average"])

    def _run_frozen_part(self, pl_module: LightningModule) -> None:
        if said := prefix.install(pl_module, compiled=self.tuning.compile):
            rank_zero_info(said)

    def _recalibrate(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.recalibrated = True
        step = getattr(pl_module, "calibration_step", None) or (lambda batch: pl_module(batch[0]))
        loader: Any = trainer.train_dataloader
        batches = (trainer.strategy.batch_to_device(batch) for batch in islice(loader, self.tuning.recalibrate))
        with trainer.precision_plugin.forward_context():
            norms = recalibrate(pl_module, step, batches)
        equalise(pl_module.buffers())
        rank_zero_info(f"running statistics of {norms} norms estimated anew over training batches")

    def _keep_features(self, trainer: Trainer, pl_module: LightningModule) -> None:
        epochs = self.stretch.end - self.stretch.start  # the same when a run goes on within the phase
        feature_cache.keep(trainer, pl_module, self.tuning, epochs, rank_zero_info)

    def _run_all(self, trainer: Trainer, pl_module: LightningModule) -> None:
        prefix.remove(pl_module)
        feature_cache.release(trainer)

    def _equalise(self, pl_module: LightningModule) -> None:
        equalise(pl_module.buffers())
        if self.average is not None:
            equalise(self.average.buffers(pl_module))

    def _swap(self, pl_module: LightningModule) -> None:
        if self.average is not None:
            self.average.swap(pl_module)
            self._swapped = not self._swapped


def _check_strategy(trainer: Trainer, plan: Plan) -> None:
    strategy = trainer.strategy
    sharding = isinstance(strategy, DeepSpeedStrategy)  # one of DDP's to Lightning, and none to us
    if (sharding or not isinstance(strategy, DDPStrategy | SingleDeviceStrategy)) and _thaws(plan):
        raise RecipeError(
            f"the plan unfreezes stages, which {type(strategy).__name__} does not take part in: gradients of what was "
            "frozen at first would be lost; use strategy: ddp, or a plan of one phase"
        )
    on_cpu = strategy.root_device.type == "cpu"
    if isinstance(strategy, DDPStrategy) and strategy._layer_sync is not None and on_cpu:
        raise RecipeError("trainer.sync_batchnorm is true, but torch's SyncBatchNorm works on GPUs alone; leave it out")


def _thaws(plan: Plan) -> bool:
    learning = [
        {(stage, kind) for stage in stretch.trained for kind in stretch.parts.get(stage, (*KINDS, "the rest"))}
        for stretch in plan.stretches
    ]
    return any(later - learning[0] for later in learning)


def _check_restart(plan: Plan, module: LightningModule) -> None:
    if len(plan.spans()) > 1 and not hasattr(module, "configure_schedule"):
        raise RecipeError(
            f"tuning.phases restart the schedule, for which {type(module).__name__} needs a method configure_schedule("
            "optimizer, steps, steps_per_epoch) that returns what `lr_scheduler` is in configure_optimizers"
        )


def _start_schedule(trainer: Trainer, module: LightningModule, span: tuple[int, int]) -> None:
    """The module's schedule from its beginning, over the steps of these epochs."""
    total = int(trainer.estimated_stepping_batches)  # counts the batches first
    an_epoch = math.ceil(trainer.num_training_batches / trainer.accumulate_grad_batches)
    start, end = (min(epoch * an_epoch, total) for epoch in span)
    for config in trainer.lr_scheduler_configs:
        optimizer: Any = config.scheduler.optimizer
        built = module.configure_schedule(optimizer, end - start, an_epoch)  # type: ignore[operator]
        config.scheduler = built["scheduler"]


def _rate_of_now(schedule: Any) -> None:
    """A function of the step may be another one since the run was longer or shorter; the saved rate is of the old."""
    if isinstance(schedule, LambdaLR):
        factors = [factor(schedule.last_epoch) for factor in schedule.lr_lambdas]
        for group, rate, factor in zip(schedule.optimizer.param_groups, schedule.base_lrs, factors, strict=True):
            group["lr"] = rate * factor


def _wrap_anew(trainer: Trainer) -> None:
    """DistributedDataParallel reduces the gradients of what was trainable when it wrapped."""
    strategy = trainer.strategy
    if isinstance(strategy, DDPStrategy):
        strategy.model = strategy._setup_model(trainer.lightning_module)
        strategy._register_ddp_hooks()


def _exact(rate: float) -> Tensor:
    """In float64: Lightning would round a plain number to the default dtype."""
    return torch.tensor(rate, dtype=torch.float64)
