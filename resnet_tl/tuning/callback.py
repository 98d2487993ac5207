"""FineTuning: carries out a plan inside Lightning's Trainer."""

from __future__ import annotations

from typing import Any, Literal

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import DDPStrategy, DeepSpeedStrategy, SingleDeviceStrategy
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from torch import Tensor

from resnet_tl import lightning_internals
from resnet_tl.errors import RecipeError, did_you_mean
from resnet_tl.tuning import feature_cache, prefix, schedule
from resnet_tl.tuning.average import RAW_STATE, Average, decay_of
from resnet_tl.tuning.compile import WITHOUT_GRAPHS, CompiledLosses, compiled_losses
from resnet_tl.tuning.freezing import frozen_keys
from resnet_tl.tuning.image_size import check_images, use_augmentation, use_image_size
from resnet_tl.tuning.parameter_groups import StageParameterGroups, check_all_optimized
from resnet_tl.tuning.phase_state import PhaseState
from resnet_tl.tuning.plan import Phase, Plan, Tuning
from resnet_tl.tuning.plan_table import table, unreached
from resnet_tl.tuning.plateau import Plateau
from resnet_tl.tuning.ranks import broadcast
from resnet_tl.tuning.recalibration import recalibrate_with
from resnet_tl.tuning.regularisers.collection import Regularisers
from resnet_tl.tuning.resume import Position
from resnet_tl.tuning.solved_head import solve_head
from resnet_tl.tuning.stages import Paths, Stages, owners, stages_of

POSITION = "position"


class FineTuning(Callback):
    """Freezes and unfreezes the stages of a LightningModule and sets their learning rates, as its plan says.

    Args:
        tuning: the plan.
        stages: stage name -> path or paths in the LightningModule, globs allowed (`{"trunk": "net.layer*", "head":
            "net.fc"}`), input to output; every parameter in exactly one. None: the module's own `stages()`.

    The optimizer is the module's own, with any groups; it must hold every parameter that some phase trains. A module
    may also have `loaded_stages` (names), `blocks()` (for `layer_decay_by`), `peak_rate` and `stage_macs()` (for the
    plan's table), `configure_schedule` (for phases that restart it), `calibration_step` (for `recalibrate`), `mixes()`
    and `validates_each_image_once` (for cached features); `resnet_tl.tasks.base.Task` shows each.
    """

    phase_state: PhaseState

    def __init__(self, tuning: Tuning | None = None, stages: Paths | None = None) -> None:
        self.tuning = tuning or Tuning(phases=[Phase()])
        self.paths = stages
        self.average: Average | None = None
        self.parameter_groups: list[StageParameterGroups] = []
        self.regularisers = Regularisers(Tuning(), None, {})  # none, until `setup`
        self.compiled: CompiledLosses | None = None
        self.position = Position()
        self.steps = 0
        """Of the whole run: the length of its schedules."""
        self.solved: dict[str, Any] = {}
        """Of the last head that was solved: the `phase`, and what `solve_head` returns."""
        self._fitting = self._recalibrated = self._stepped = False
        self._saved_position: list[dict[str, Any]] | None = None
        self._saved_steps: int | None = None
        self._prefix_summary: str | None = None
        self._initial_schedules: list[dict[str, Any]] = []

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._fitting, self._recalibrated = stage == "fit", False
        if not self._fitting:
            return
        if trainer.max_epochs is None or trainer.max_epochs < 1:
            raise RecipeError(f"trainer.max_epochs is {trainer.max_epochs}, expected the number of epochs of the plan")
        if trainer.limit_train_batches == 0:
            raise RecipeError(
                "trainer.limit_train_batches is 0, which leaves nothing to train on; expected at least one batch (to "
                "evaluate without training: Trainer.validate)"
            )
        # Before a checkpoint is loaded, and before the stages are read: they may add layers to them.
        self.regularisers = Regularisers(self.tuning, pl_module, stages_of(pl_module, self.paths))
        stages = stages_of(pl_module, self.paths)
        self.phase_state = self._phase_state(trainer, pl_module, stages)
        _check_strategy(trainer, self.phase_state.plan)
        self.compiled = compiled_losses(pl_module, self.tuning, trainer, rank_zero_info)
        # Before a checkpoint is loaded: Lightning would round its weights to 32 bits in a run of 64-true.
        trainer.precision_plugin.convert_module(pl_module)
        # Before the strategy wraps the module: DistributedDataParallel reduces only what is trainable then.
        self.phase_state.enter(self.phase_state.plan.index_at(trainer.current_epoch))

    def _phase_state(self, trainer: Trainer, pl_module: LightningModule, stages: Stages) -> PhaseState:
        try:
            return PhaseState(self.tuning, stages, trainer.max_epochs or 0, pl_module)
        except RecipeError as error:
            if not trainer.fast_dev_run:  # type: ignore[attr-defined]
                raise
            raise RecipeError(
                f"{error}. fast_dev_run has set it to 1: to try all phases quickly, limit the batches of an epoch "
                "instead (limit_train_batches, limit_val_batches)"
            ) from None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        _check_plateaus(trainer, self.phase_state.plan)
        check_images(self.phase_state.plan, _data(trainer))
        # The strategy may have replaced some modules (SyncBatchNorm), which are to be frozen in their place.
        self.phase_state.stages = stages_of(pl_module, self.paths)
        stage_macs, rate = getattr(pl_module, "stage_macs", None), getattr(pl_module, "peak_rate", None)
        macs = None if stage_macs is None else stage_macs()
        rank_zero_info(table(self.phase_state.plan, self.phase_state.stages, self.tuning.norm, rate, macs))
        self.phase_state.apply()
        pl_module.solved = self.solved  # type: ignore[assignment]  # torch's hint of all attributes of modules
        self._install_prefix(pl_module)
        self._split_parameter_groups(trainer, pl_module)
        if self.compiled is not None:
            self.compiled.install()
        schedule.start(trainer, pl_module, self.phase_state.schedule_spans())
        self.steps, self._initial_schedules = int(trainer.estimated_stepping_batches), schedule.initial_states(trainer)
        steps_an_epoch = trainer.num_training_batches / trainer.accumulate_grad_batches
        if note := unreached(self.phase_state.plan, trainer.max_steps, steps_an_epoch):
            rank_zero_info(note)
        if self.tuning.ema is not None:
            self._start_average(pl_module, self.tuning.ema)

    def _start_average(self, pl_module: LightningModule, ema: float | Literal["auto"]) -> None:
        decay = decay_of(ema, self.steps)
        if self.average is None:
            self.average = Average(pl_module, decay, updates=0)
        self.average.decay = decay  # a checkpoint's average is loaded before the steps are known
        if ema == "auto":
            rank_zero_info(f"tuning.ema: auto is {decay:.6g}, for the {self.steps:,} steps of the run")
        if note := self.average.note(self.steps):
            rank_zero_info(note)

    def _split_parameter_groups(self, trainer: Trainer, pl_module: LightningModule) -> None:
        owner = owners(self.phase_state.stages)
        trained_stages = {stage for phase in self.phase_state.plan.phases for stage in phase.trained}
        trained = {name: p for name, p in pl_module.named_parameters() if owner[id(p)] in trained_stages}
        check_all_optimized(trainer.optimizers, trained, owner)
        units = self.phase_state.units(pl_module)
        undecayed = [unit for stage in self.regularisers.undecayed for unit in units[stage]]
        owner = owners({unit: modules for own in units.values() for unit, modules in own.items()})
        self.parameter_groups = [
            StageParameterGroups(optimizer, owner, lambda: self.phase_state.current.stepped, undecayed)
            for optimizer in trainer.optimizers
        ]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        data: Any = _data(trainer)
        has_order = hasattr(data, "fixed_images")
        self.regularisers.begin(pl_module, (lambda: data.fixed_images("train").batches(0)) if has_order else None)
        if self.phase_state.plan.index_at(trainer.current_epoch) == self.phase_state.index:
            self._start_images(trainer, pl_module)
        if self._saved_steps not in (None, self.steps):
            schedule.fast_forward(trainer, self._initial_schedules)
        saved = self._saved_position
        if saved is not None and (warning := self.position.restore(trainer, pl_module, saved)):
            rank_zero_warn(warning)
        self._saved_steps = self._saved_position = None

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        index = self.phase_state.index_at(trainer.current_epoch)
        if index != self.phase_state.index:
            self._change_phase(trainer, pl_module, index)
        if self.phase_state.current.settings.solver is not None and self.solved.get("phase") != index:
            self._solve(trainer, pl_module)
        self.position.mark(trainer)

    def _solve(self, trainer: Trainer, pl_module: LightningModule) -> None:
        found = solve_head(trainer, pl_module, _data(trainer), self.tuning, self.average, rank_zero_info)
        self.solved = {"phase": self.phase_state.index, **found}
        pl_module.solved = self.solved  # type: ignore[assignment]

    def _change_phase(self, trainer: Trainer, pl_module: LightningModule, index: int) -> None:
        self._broadcast_buffers(pl_module)
        self._restore_best(trainer, pl_module)
        self.phase_state.enter(index)
        self._install_prefix(pl_module)
        if self.compiled is not None:
            self.compiled.start_phase()
        if self.phase_state.current.settings.restart:
            schedule.start(trainer, pl_module, self.phase_state.schedule_spans()[:1])
        if self.average is not None:
            self.average.copy_raw(pl_module, frozen_keys(pl_module))
        pl_module.zero_grad(set_to_none=True)  # before wrapping: DistributedDataParallel must not see old gradients
        _wrap_again(trainer)
        self._start_images(trainer, pl_module)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if pl_module.automatic_optimization:
            lightning_internals.set_logged_step(trainer, trainer.global_step)

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.compiled is not None:
            self.compiled.after_backward()

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        # Only where it is written: logging a rate per stage takes longer than a step of a head on cached features.
        if not trainer.loggers or lightning_internals.writes_logs(trainer):
            rates = {unit: _exact(rate) for groups in self.parameter_groups for unit, rate in groups.rates().items()}
            by_stage = {f"lr/{stage}": rates[stage] for stage in self.phase_state.stages if stage in rates}
            penalties = {f"train/{name}": value for name, value in self.regularisers.values().items()}
            pl_module.log_dict({**by_stage, **penalties, "phase": float(self.phase_state.index)})
        self._stepped = True
        self.regularisers.add_gradients()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        if self.average is not None and self._stepped:
            self.average.update(pl_module)
        self._stepped = False
        self.position.mark(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == TrainerFn.FITTING:
            self._broadcast_buffers(pl_module)
        self._swap(pl_module)
        ends = trainer.should_stop or (trainer.is_last_batch and _is_last_epoch(trainer))
        if self.tuning.recalibrate and ends and _validates_training(trainer):
            self._recalibrate(trainer, pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._swap(pl_module)
        if _validates_training(trainer):
            self.position.rewind(trainer)  # training draws the same with and without validation
            if self.phase_state.plateau is not None:
                self._update_plateau(trainer, pl_module, self.phase_state.plateau)

    def _update_plateau(self, trainer: Trainer, pl_module: LightningModule, plateau: Plateau) -> None:
        name = plateau.phase.monitor
        if name not in trainer.callback_metrics:
            near, index = did_you_mean(name, trainer.callback_metrics), self.phase_state.index
            raise RecipeError(f"tuning.phases[{index}].monitor is {name!r}, which validation does not log{near}")
        value = trainer.strategy.reduce(trainer.callback_metrics[name], reduce_op="mean")  # ranks must agree
        if plateau.update(float(value)):
            plateau.store(raw=pl_module.state_dict(), average={} if self.average is None else self.average.state)
        if plateau.stalled and self.phase_state.in_last_phase:
            trainer.should_stop = True

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Recalibrates before the run's last checkpoint, if no validation that was known to be the last did."""
        lightning_internals.end_restart(trainer)
        if self.phase_state.current.settings.solver is not None:
            pl_module.log_dict({f"solved/{name}": _exact(self.solved[name]) for name in ("l2", "acc")})
            # An earlier phase has ended early; another epoch would change nothing.
            trainer.should_stop |= self.phase_state.in_last_phase and not _is_last_epoch(trainer)
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
        for groups in self.parameter_groups:
            groups.restore()
        self._run_all_stages(trainer, pl_module)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._run_all_stages(trainer, pl_module)

    def state_dict(self) -> dict[str, Any]:
        updates = None if self.average is None else self.average.updates
        compiled = None if self.compiled is None else self.compiled.state_dict()
        return {
            "course": self.phase_state.state_dict(),
            "steps": self.steps,
            "regularisers": self.regularisers.state_dict(),
            "averaged": updates,
            "compiled": compiled,
            "solved": self.solved,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if not self._fitting:
            return
        self.phase_state.load_state_dict(state["course"])
        self._saved_steps = state["steps"]
        self.solved = state.get("solved", {})
        if self.average is not None:  # runs that began before there was a warm-up continue without
            self.average.updates = state.get("averaged")
        if self.compiled is not None and state.get("compiled") is not None:
            self.compiled.load_state_dict(state["compiled"])
        # A run from before there were others holds the digest of L2-SP's weights alone.
        self.regularisers.load_state_dict(
            state.get("regularisers", {"l2_sp": {"digest": state.get("anchor"), "state": {}}})
        )

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        self._broadcast_buffers(pl_module)  # in place: the checkpoint holds the module's own tensors
        checkpoint[POSITION] = self.position.state(trainer, pl_module)
        if self.average is not None:
            self.average.save(checkpoint)

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        if self.tuning.ema is not None and RAW_STATE in checkpoint:
            self.average = Average(pl_module, decay=0.0)
            pl_module.load_state_dict(checkpoint[RAW_STATE])
        if trainer.state.fn == TrainerFn.FITTING:
            self._saved_position = checkpoint.get(POSITION)

    def _install_prefix(self, pl_module: LightningModule) -> None:
        mode = WITHOUT_GRAPHS.get(self.tuning.compile_mode, self.tuning.compile_mode)
        compiled, bf16 = self.tuning.compile != "off", self.tuning.prefix_precision == "bf16"
        summary = prefix.install(pl_module, compiled=compiled, mode=mode, bf16=bf16)
        if summary and summary != self._prefix_summary:
            self._prefix_summary = summary
            rank_zero_info(summary)

    def _run_all_stages(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.regularisers.finish(pl_module)
        prefix.remove(pl_module)
        if self.compiled is not None:
            self.compiled.remove()
            self.compiled = None
        feature_cache.disable(_data(trainer))

    def _start_images(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Makes the loaders return the phase's images, or cached features in their place."""
        use_image_size(_data(trainer), self.phase_state.current.settings.image_size)
        use_augmentation(_data(trainer), self.phase_state.current.settings.augment)
        epochs = self.phase_state.current.end - self.phase_state.current.start  # of all, also on resume within it
        solves = self.phase_state.current.settings.solver is not None
        feature_cache.enable(trainer, _data(trainer), pl_module, self.tuning, epochs, rank_zero_info, solves=solves)

    def _recalibrate(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._recalibrated = True
        norms = recalibrate_with(trainer, pl_module, self.tuning.recalibrate)
        rank_zero_info(f"running statistics of {norms} norms estimated again over training batches")

    def _restore_best(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restores the best validation's weights, without the momentum, which belongs to later ones."""
        plateau = self.phase_state.plateau
        if plateau is not None and plateau.weights:
            pl_module.load_state_dict(plateau.weights["raw"])
            for optimizer in trainer.optimizers:
                optimizer.state.clear()
            if self.average is not None:
                self.average.load(plateau.weights["average"])

    def _broadcast_buffers(self, pl_module: LightningModule) -> None:
        broadcast(pl_module.buffers())
        if self.average is not None:
            broadcast(self.average.buffers(pl_module))

    def _swap(self, pl_module: LightningModule) -> None:
        if self.average is not None:
            self.average.swap(pl_module)


def _data(trainer: Trainer) -> object:
    """Returns the data module, None if there is none; a Trainer that never fitted lacks the attribute."""
    return getattr(trainer, "datamodule", None)


def _validates_training(trainer: Trainer) -> bool:
    return trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking


def _is_last_epoch(trainer: Trainer) -> bool:
    return trainer.current_epoch + 1 >= (trainer.max_epochs or 0)


def _check_plateaus(trainer: Trainer, plan: Plan) -> None:
    for index, phase in enumerate(plan.phases):
        if phase.settings.until == "plateau" and not trainer.enable_validation:
            raise RecipeError(
                f"tuning.phases[{index}].until is plateau, but there is no validation whose metric could stop "
                "improving; omit it, or allow validation (trainer.limit_val_batches)"
            )


def _check_strategy(trainer: Trainer, plan: Plan) -> None:
    strategy = trainer.strategy
    sharding = isinstance(strategy, DeepSpeedStrategy)  # a subclass of DDPStrategy, but with sharded parameters
    if (sharding or not isinstance(strategy, DDPStrategy | SingleDeviceStrategy)) and plan.unfreezes():
        raise RecipeError(
            f"the plan unfreezes stages, which {type(strategy).__name__} does not support: gradients of stages that "
            "are frozen at first would be lost; use strategy: ddp, or a plan of one phase"
        )
    on_cpu = strategy.root_device.type == "cpu"
    if isinstance(strategy, DDPStrategy) and on_cpu and lightning_internals.converts_batch_norms(strategy):
        raise RecipeError("trainer.sync_batchnorm is true, but torch's SyncBatchNorm needs GPUs; omit it")


def _wrap_again(trainer: Trainer) -> None:
    """DistributedDataParallel reduces the gradients of what was trainable when it wrapped the module."""
    strategy = trainer.strategy
    if isinstance(strategy, DDPStrategy):
        strategy.model = trainer.lightning_module
        strategy.configure_ddp()


def _exact(rate: float) -> Tensor:
    """In float64: Lightning would round a plain number to the default dtype."""
    return torch.tensor(rate, dtype=torch.float64)
