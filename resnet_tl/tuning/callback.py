"""FineTuning: carries out a plan inside Lightning's Trainer. The only file here that imports lightning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor, nn

from resnet_tl.errors import RecipeError, did_you_mean
from resnet_tl.tuning.average import Average
from resnet_tl.tuning.freezing import freeze, unfreeze
from resnet_tl.tuning.plan import Phase, Plan, Stretch, Tuning, resolve

RAW_STATE = "raw_state_dict"


class FineTuning(Callback):
    """Freezes, thaws and paces the stages of a LightningModule as its plan says.

    Args:
        tuning: the plan.
        stages: stage name -> paths of modules in the LightningModule, input to output; every parameter in exactly one.
            None asks the module's own `stages()`. Its optimizer's groups name their `stage`
            (`resnet_tl.tuning.rates.parameter_groups` makes such groups).
    """

    def __init__(self, tuning: Tuning | None = None, stages: Mapping[str, Sequence[str]] | None = None) -> None:
        self.tuning = tuning or Tuning(phases=[Phase()])
        self.paths = stages
        self.average: Average | None = None
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
        rank_zero_info(self.plan.table({name: _count(modules) for name, modules in self.stages.items()}))
        # Before the strategy wraps the module: DistributedDataParallel reduces only what is trainable then.
        self._enter(self.plan.phase(trainer.current_epoch))

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for optimizer in trainer.optimizers:
            _check_groups(optimizer, self.stages)
            optimizer.register_step_pre_hook(self._scale_rates)
            optimizer.register_step_post_hook(self._restore_rates)
        if self.tuning.ema is not None and self.average is None:
            self.average = Average(pl_module, self.tuning.ema)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        phase = self.plan.phase(trainer.current_epoch)
        if phase == self.phase:
            return
        self._enter(phase)
        if self.average is not None:
            self.average.settle(pl_module, _keys(pl_module, self.stages, self.stretch.frozen))
        pl_module.zero_grad(set_to_none=True)
        _wrap_anew(trainer)

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        rates = {f"lr/{group['stage']}": _exact(group["lr"]) for group in optimizer.param_groups}
        pl_module.log_dict({**rates, "phase": float(self.phase)})
        self._steps = trainer.global_step

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        stepped = trainer.global_step > self._steps
        if self.average is not None and stepped:
            self._steps = trainer.global_step
            self.average.update(pl_module)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._swap(pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._swap(pl_module)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.average is not None:
            pl_module.load_state_dict(self.average.state)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
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

    def _scale_rates(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        """The phase's factors lie on the rates during a step alone, so that schedulers never meet them."""
        self._scheduled = [group["lr"] for group in optimizer.param_groups]
        for group in optimizer.param_groups:
            group["lr"] = group["lr"] * self.stretch.factors[group["stage"]]

    def _restore_rates(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        for group, rate in zip(optimizer.param_groups, self._scheduled, strict=True):
            group["lr"] = rate

    def _swap(self, pl_module: LightningModule) -> None:
        if self.average is not None:
            self.average.swap(pl_module)


def stages_of(module: nn.Module, paths: Mapping[str, Sequence[str]] | None = None) -> dict[str, list[nn.Module]]:
    """Stage -> modules, input to output.

    Raises:
        RecipeError: a path that is not there, or a parameter that is in no stage or in two.
    """
    if paths is None and not hasattr(module, "stages"):
        raise RecipeError(f"{type(module).__name__} has no stages(): give FineTuning(stages={{name: [module paths]}})")
    if paths is None:
        stages = module.stages()  # type: ignore[operator]
    else:
        stages = {stage: [_submodule(module, path) for path in listed] for stage, listed in paths.items()}
    owner: dict[int, str] = {}
    for stage, modules in stages.items():
        for own in {id(parameter) for part in modules for parameter in part.parameters()}:
            if own in owner:
                raise RecipeError(f"stages {owner[own]!r} and {stage!r} share a parameter; each belongs to one stage")
            owner[own] = stage
    for name, parameter in module.named_parameters():
        if id(parameter) not in owner:
            raise RecipeError(f"parameter {name!r} is in no stage of {', '.join(stages)}; each belongs to one stage")
    return stages


def _submodule(module: nn.Module, path: str) -> nn.Module:
    try:
        return module.get_submodule(path)
    except AttributeError:
        near = did_you_mean(path, dict(module.named_modules()))
        raise RecipeError(f"stages names {path!r}, which {type(module).__name__} has not{near}") from None


def _check_groups(optimizer: torch.optim.Optimizer, stages: Mapping[str, Any]) -> None:
    for number, group in enumerate(optimizer.param_groups):
        if group.get("stage") not in stages:
            raise RecipeError(
                f"the optimizer's group {number} names no stage; tuning.rates.parameter_groups(stages, …) makes groups"
            )


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
