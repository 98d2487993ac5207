"""FineTuning: carries out a plan inside Lightning's Trainer. The only file here that imports lightning."""

from __future__ import annotations

from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import DDPStrategy, DeepSpeedStrategy, SingleDeviceStrategy
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from torch import Tensor

from resnet_tl import lightning_internals
from resnet_tl.errors import RecipeError, did_you_mean
from resnet_tl.tuning import feature_cache, prefix, schedule
from resnet_tl.tuning.anchor import Anchor
from resnet_tl.tuning.average import RAW_STATE, Average
from resnet_tl.tuning.freezing import held_keys
from resnet_tl.tuning.parameter_groups import PartedSteps, check_held
from resnet_tl.tuning.phase_state import Course
from resnet_tl.tuning.plan import Phase, Plan, Tuning
from resnet_tl.tuning.plan_table import table
from resnet_tl.tuning.plateau import Plateau
from resnet_tl.tuning.ranks import equalise
from resnet_tl.tuning.recalibration import recalibrate_in
from resnet_tl.tuning.resume import Position
from resnet_tl.tuning.stages import Paths, owners, stages_of

POSITION = "position"


class FineTuning(Callback):
    """Freezes, thaws and paces the stages of a LightningModule as its plan says.

    Args:
        tuning: the plan.
        stages: stage name -> path or paths in the LightningModule, globs allowed (`{"trunk": "net.layer*", "head":
            "net.fc"}`), input to output; every parameter in exactly one. None asks the module's own `stages()`.

    The optimizer is the module's own, with any groups; it must hold every parameter that some phase trains.
    """

    course: Course

    def __init__(self, tuning: Tuning | None = None, stages: Paths | None = None) -> None:
        self.tuning = tuning or Tuning(phases=[Phase()])
        self.paths = stages
        self.average: Average | None = None
        self.parted: list[PartedSteps] = []
        self.anchor: Anchor | None = None
        self.position = Position()
        self.steps = 0
        """That schedules are laid over: of the whole run."""
        self._fitting = self._recalibrated = self._stepped = False
        self._loaded: list[dict[str, Any]] | None = None
        self._steps_before: int | None = None
        self._beginnings: list[dict[str, Any]] = []

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._fitting, self._recalibrated = stage == "fit", False
        if not self._fitting:
            return
        if trainer.max_epochs is None or trainer.max_epochs < 1:
            raise RecipeError(
                f"trainer.max_epochs is {trainer.max_epochs}, expected the epochs that the plan is laid over"
            )
        stages = stages_of(pl_module, self.paths)
        self.course = Course(self.tuning, stages, trainer.max_epochs, pl_module)
        _check_strategy(trainer, self.course.plan)
        if self.tuning.l2_sp:  # before a checkpoint is loaded
            known = getattr(pl_module, "loaded_stages", list(stages)[:-1])
            self.anchor = Anchor({stage: stages[stage] for stage in known}, self.tuning.l2_sp)
        # Before the strategy wraps the module: DistributedDataParallel reduces only what is trainable then.
        self.course.enter(self.course.plan.phase(trainer.current_epoch))

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # The strategy may have put other modules in place of some (SyncBatchNorm): these are to be held, too.
        self.course.stages = stages_of(pl_module, self.paths)
        macs = pl_module.stage_macs() if hasattr(pl_module, "stage_macs") else None  # type: ignore[operator]
        rate = getattr(pl_module, "peak_rate", None)
        rank_zero_info(table(self.course.plan, self.course.stages, self.tuning.norm, rate, macs))
        self.course.hold()
        self._run_frozen_part(pl_module)
        self._part_optimizers(trainer, pl_module)
        if self.tuning.ema is not None and self.average is None:
            self.average = Average(pl_module, self.tuning.ema)
        schedule.start(trainer, pl_module, self.course.spans())
        self.steps, self._beginnings = int(trainer.estimated_stepping_batches), schedule.beginnings(trainer)

    def _part_optimizers(self, trainer: Trainer, pl_module: LightningModule) -> None:
        owner = owners(self.course.stages)
        trained = {stage for stretch in self.course.plan.stretches for stage in stretch.trained}
        learning = {name: p for name, p in pl_module.named_parameters() if owner[id(p)] in trained}
        check_held(trainer.optimizers, learning, owner)
        undecayed = self.anchor.stages if self.anchor is not None else []
        self.parted = [
            PartedSteps(optimizer, owner, lambda: self.course.stretch.factors, undecayed)
            for optimizer in trainer.optimizers
        ]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.course.plan.phase(trainer.current_epoch) == self.course.phase:
            self._keep_features(trainer, pl_module)
        if self._steps_before not in (None, self.steps):
            schedule.catch_up(trainer, self._beginnings)
        if self._loaded is not None and (warning := self.position.restore(trainer, pl_module, self._loaded)):
            rank_zero_warn(warning)
        self._steps_before = self._loaded = None

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        phase = self.course.due(trainer.current_epoch)
        if phase != self.course.phase:
            self._change(trainer, pl_module, phase)
        self.position.mark(trainer)

    def _change(self, trainer: Trainer, pl_module: LightningModule, phase: int) -> None:
        self._equalise(pl_module)
        self._restore_best(trainer, pl_module)
        self.course.enter(phase)
        self._run_frozen_part(pl_module)
        if self.course.stretch.phase.restart:
            schedule.start(trainer, pl_module, self.course.spans()[:1])
        if self.average is not None:
            self.average.settle(pl_module, held_keys(pl_module))
        pl_module.zero_grad(set_to_none=True)
        _wrap_anew(trainer)
        self._keep_features(trainer, pl_module)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if pl_module.automatic_optimization:  # the step of loggers, which Lightning miscounts by one on some restarts
            lightning_internals.set_logged_step(trainer, trainer.global_step)

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        # Where it is going to be written: logging a rate a stage takes longer than a step of a head on kept features.
        if not trainer.loggers or lightning_internals.writes_logs(trainer):
            rates = {f"lr/{stage}": _exact(rate) for parted in self.parted for stage, rate in parted.rates().items()}
            pl_module.log_dict({**rates, "phase": float(self.course.phase)})
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
        ends = _validates_training(trainer) and trainer.fit_loop.epoch_loop.batch_progress.is_last_batch
        if self.tuning.recalibrate and ends and _is_last_epoch(trainer):
            self._recalibrate(trainer, pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._swap(pl_module)
        if _validates_training(trainer):
            self.position.rewind(trainer)  # training draws the same, validated or not
            if self.course.plateau is not None:
                self._watch(trainer, pl_module, self.course.plateau)

    def _watch(self, trainer: Trainer, pl_module: LightningModule, plateau: Plateau) -> None:
        name = plateau.phase.monitor
        if name not in trainer.callback_metrics:
            near, phase = did_you_mean(name, trainer.callback_metrics), self.course.phase
            raise RecipeError(f"tuning.phases[{phase}].monitor is {name!r}, which validation does not log{near}")
        seen = trainer.strategy.reduce(trainer.callback_metrics[name], reduce_op="mean")  # ranks must agree
        if plateau.see(float(seen)):
            plateau.keep(raw=pl_module.state_dict(), average={} if self.average is None else self.average.state)
        if plateau.stalled and self.course.in_last_phase:
            trainer.should_stop = True

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Before the checkpoint of the run's end, where no validation came before it that was known to be the last."""
        if self.tuning.recalibrate and not self._recalibrated and (_is_last_epoch(trainer) or trainer.should_stop):
            self._swap(pl_module)
            self._recalibrate(trainer, pl_module)
            self._swap(pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._restore_best(trainer, pl_module)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.average is not None:
            pl_module.load_state_dict(self.average.state)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        for parted in self.parted:
            parted.restore()
        self._run_all(trainer, pl_module)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._run_all(trainer, pl_module)

    def state_dict(self) -> dict[str, Any]:
        anchor = None if self.anchor is None else self.anchor.digest()
        return {"course": self.course.state_dict(), "steps": self.steps, "anchor": anchor}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if not self._fitting:
            return
        self.course.load_state_dict(state["course"])
        self._steps_before = state["steps"]
        if self.anchor is not None:
            self.anchor.check(state["anchor"])

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        self._equalise(pl_module)  # in place: what the checkpoint holds are the module's tensors
        checkpoint[POSITION] = self.position.state(trainer, pl_module)
        if self.average is not None:
            self.average.save(checkpoint)

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        if self.tuning.ema is not None and RAW_STATE in checkpoint:
            self.average = Average(pl_module, self.tuning.ema)
            pl_module.load_state_dict(checkpoint[RAW_STATE])
        if trainer.state.fn == TrainerFn.FITTING:
            self._loaded = checkpoint.get(POSITION)

    def _run_frozen_part(self, pl_module: LightningModule) -> None:
        if said := prefix.install(pl_module, compiled=self.tuning.compile):
            rank_zero_info(said)

    def _run_all(self, trainer: Trainer, pl_module: LightningModule) -> None:
        prefix.remove(pl_module)
        feature_cache.release(trainer)

    def _keep_features(self, trainer: Trainer, pl_module: LightningModule) -> None:
        epochs = self.course.stretch.end - self.course.stretch.start  # the same when a run goes on within the phase
        feature_cache.keep(trainer, pl_module, self.tuning, epochs, rank_zero_info)

    def _recalibrate(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._recalibrated = True
        norms = recalibrate_in(trainer, pl_module, self.tuning.recalibrate)
        rank_zero_info(f"running statistics of {norms} norms estimated anew over training batches")

    def _restore_best(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Back to the best validation's weights; the momentum gathered since belongs to others."""
        plateau = self.course.plateau
        if plateau is not None and plateau.weights:
            pl_module.load_state_dict(plateau.weights["raw"])
            for optimizer in trainer.optimizers:
                optimizer.state.clear()
            if self.average is not None:
                self.average.load(plateau.weights["average"])

    def _equalise(self, pl_module: LightningModule) -> None:
        equalise(pl_module.buffers())
        if self.average is not None:
            equalise(self.average.buffers(pl_module))

    def _swap(self, pl_module: LightningModule) -> None:
        if self.average is not None:
            self.average.swap(pl_module)


def _validates_training(trainer: Trainer) -> bool:
    return trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking


def _is_last_epoch(trainer: Trainer) -> bool:
    return trainer.current_epoch + 1 >= (trainer.max_epochs or 0)


def _check_strategy(trainer: Trainer, plan: Plan) -> None:
    strategy = trainer.strategy
    sharding = isinstance(strategy, DeepSpeedStrategy)  # one of DDP's to Lightning, and none to us
    if (sharding or not isinstance(strategy, DDPStrategy | SingleDeviceStrategy)) and plan.thaws():
        raise RecipeError(
            f"the plan unfreezes stages, which {type(strategy).__name__} does not take part in: gradients of what was "
            "frozen at first would be lost; use strategy: ddp, or a plan of one phase"
        )
    on_cpu = strategy.root_device.type == "cpu"
    if isinstance(strategy, DDPStrategy) and on_cpu and lightning_internals.converts_batch_norms(strategy):
        raise RecipeError("trainer.sync_batchnorm is true, but torch's SyncBatchNorm works on GPUs alone; leave it out")


def _wrap_anew(trainer: Trainer) -> None:
    """DistributedDataParallel reduces the gradients of what was trainable when it wrapped."""
    strategy = trainer.strategy
    if isinstance(strategy, DDPStrategy):
        strategy.model = trainer.lightning_module
        strategy.configure_ddp()


def _exact(rate: float) -> Tensor:
    """In float64: Lightning would round a plain number to the default dtype."""
    return torch.tensor(rate, dtype=torch.float64)
