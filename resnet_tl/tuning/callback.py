"""FineTuning: carries out a plan inside Lightning's Trainer. The only file here that imports lightning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor, nn

from resnet_tl.errors import RecipeError
from resnet_tl.tuning.average import Average
from resnet_tl.tuning.freezing import freeze, unfreeze
from resnet_tl.tuning.parting import PartedSteps, check_held
from resnet_tl.tuning.plan import Phase, Plan, Stretch, Tuning, resolve
from resnet_tl.tuning.replicas import equalise
from resnet_tl.tuning.stages import Paths, owners, stages_of

RAW_STATE = "raw_state_dict"


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

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage != "fit":
            return
        self.stages = stages_of(pl_module, self.paths)
        if trainer.max_epochs is None or trainer.max_epochs < 1:
            raise RecipeError(
                f"trainer.max_epochs is {trainer.max_epochs}, expected the epochs that the plan is laid over"
            )
        loaded = getattr(pl_module, "loaded_stages", None)
        self.plan: Plan = resolve(self.tuning, list(self.stages), trainer.max_epochs, loaded)
        _check_strategy(trainer, self.plan)
        rank_zero_info(self.plan.table({name: _count(modules) for name, modules in self.stages.items()}))
        # Before the strategy wraps the module: DistributedDataParallel reduces only what is trainable then.
        self._enter(self.plan.phase(trainer.current_epoch))

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # The strategy may have put other modules in place of some (SyncBatchNorm): these are to be held, too.
        self.stages = stages_of(pl_module, self.paths)
        self._enter(self.phase)
        owner = owners(self.stages)
        trained = {stage for stretch in self.plan.stretches for stage in stretch.trained}
        learning = {name: p for name, p in pl_module.named_parameters() if owner[id(p)] in trained}
        check_held(trainer.optimizers, learning, owner)
        self.parted = [PartedSteps(o, owner, lambda: self.stretch.factors) for o in trainer.optimizers]
        if self.tuning.ema is not None and self.average is None:
            self.average = Average(pl_module, self.tuning.ema)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        phase = self.plan.phase(trainer.current_epoch)
        if phase == self.phase:
            return
        self._equalise(pl_module)
        self._enter(phase)
        if self.average is not None:
            self.average.settle(pl_module, _keys(pl_module, self.stages, self.stretch.frozen))
        pl_module.zero_grad(set_to_none=True)
        _wrap_anew(trainer)

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        rates = {f"lr/{stage}": _exact(rate) for parted in self.parted for stage, rate in parted.rates().items()}
        pl_module.log_dict({**rates, "phase": float(self.phase)})
        self._steps = trainer.global_step

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        stepped = trainer.global_step > self._steps
        if self.average is not None and stepped:
            self._steps = trainer.global_step
            self.average.update(pl_module)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == TrainerFn.FITTING:
            self._equalise(pl_module)
        self._swap(pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._swap(pl_module)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        for parted in self.parted:
            parted.restore()

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.average is not None:
            pl_module.load_state_dict(self.average.state)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        self._equalise(pl_module)  # in place: what the checkpoint holds are the module's tensors
        if self.average is not None:
            checkpoint[RAW_STATE] = checkpoint["state_dict"]
            checkpoint["state_dict"] = {key: tensor.clone() for key, tensor in self.average.state.items()}

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        if self.tuning.ema is not None and RAW_STATE in checkpoint:
            self.average = Average(pl_module, self.tuning.ema)
            pl_module.load_state_dict(checkpoint[RAW_STATE])

    @property
    def stretch(self) -> Stretch:
        return self.plan.stretches[self.phase]

    def _enter(self, phase: int) -> None:
        self.phase, self._steps = phase, 0
        for stage in self.stretch.frozen:
            freeze(self.stages[stage])
        for stage in self.stretch.trained:
            unfreeze(self.stages[stage], norms_frozen=self.tuning.norm == "frozen")

    def _equalise(self, pl_module: LightningModule) -> None:
        equalise(pl_module.buffers())
        if self.average is not None:
            equalise(self.average.buffers(pl_module))

    def _swap(self, pl_module: LightningModule) -> None:
        if self.average is not None:
            self.average.swap(pl_module)


def _check_strategy(trainer: Trainer, plan: Plan) -> None:
    strategy = trainer.strategy
    if not isinstance(strategy, DDPStrategy | SingleDeviceStrategy) and _thaws(plan):
        raise RecipeError(
            f"the plan unfreezes stages, which {type(strategy).__name__} does not take part in: gradients of what was "
            "frozen at first would be lost; use strategy: ddp, or a plan of one phase"
        )
    on_cpu = strategy.root_device.type == "cpu"
    if isinstance(strategy, DDPStrategy) and strategy._layer_sync is not None and on_cpu:
        raise RecipeError("trainer.sync_batchnorm is true, but torch's SyncBatchNorm works on GPUs alone; leave it out")


def _thaws(plan: Plan) -> bool:
    return any(set(stretch.trained) - set(plan.stretches[0].trained) for stretch in plan.stretches)


def _wrap_anew(trainer: Trainer) -> None:
    """DistributedDataParallel reduces the gradients of what was trainable when it wrapped."""
    strategy = trainer.strategy
    if isinstance(strategy, DDPStrategy):
        strategy.model = strategy._setup_model(trainer.lightning_module)
        strategy._register_ddp_hooks()


def _exact(rate: float) -> Tensor:
    """In float64: Lightning would round a plain number to the default dtype."""
    return torch.tensor(rate, dtype=torch.float64)


def _keys(module: nn.Module, stages: Mapping[str, Sequence[nn.Module]], names: Sequence[str]) -> list[str]:
    """State-dict keys of the named stages."""
    inside = {id(tensor) for name in names for m in stages[name] for tensor in (*m.parameters(), *m.buffers())}
    named = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    return [key for key, tensor in named.items() if id(tensor) in inside and key in module.state_dict()]


def _count(modules: Sequence[nn.Module]) -> int:
    return sum(parameter.numel() for module in modules for parameter in module.parameters())
