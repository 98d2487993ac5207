"""Numbers about training that metrics.csv does not hold: norms, speed, memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn

from resnet_tl.tracking.loggers.run_logger import run_loggers
from resnet_tl.tracking.pace import Pace


class Measure(Callback):
    """Logs `train/grad_norm` with each row of `train/loss`, and after each epoch `weights/<stage>`, `speed/...` and
    `memory/gb`; metrics.csv, which a resumed run has to repeat bit for bit, does not hold them.

    train/grad_norm: of all gradients of the step, before they are clipped.
    weights/<stage>: the norm of the trained weights of a stage.
    speed/images_per_s, speed/waiting: of the epoch's batches, as `Pace` measures them.
    memory/gb: the most that was allocated on the GPU so far, in 10^9 bytes; not logged without a GPU.
    """

    def __init__(self, pace: Pace) -> None:
        self.pace = pace
        self._grad_norm: Tensor | None = None

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
        if run_loggers(trainer.loggers) and (trainer.global_step + 1) % trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            gradients = [weight.grad for weight in pl_module.parameters() if weight.grad is not None]
            self._grad_norm = torch.nn.utils.get_total_norm(gradients)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        if self._grad_norm is not None:
            values = {"train/grad_norm": float(self._grad_norm)}
            for logger in run_loggers(trainer.loggers):
                logger.measure(values, trainer.global_step - 1, "train/loss")
        self._grad_norm = None

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not (loggers := run_loggers(trainer.loggers)):
            return
        values = weight_norms(pl_module)
        if pl_module.device.type == "cuda":
            values["memory/gb"] = torch.cuda.max_memory_allocated(pl_module.device) / 1e9
        if (timed := self.pace.of_epoch).batches:
            values["speed/images_per_s"] = timed.images / timed.seconds
            values["speed/waiting"] = timed.waited / timed.seconds
        for logger in loggers:
            logger.measure({"epoch": trainer.current_epoch, **values}, trainer.global_step - 1, "val/loss")


def weight_norms(module: LightningModule) -> dict[str, float]:
    """Returns `weights/<stage>` of the stages that are trained; nothing of a module without stages."""
    norms = {}
    stages: Callable[[], dict[str, list[nn.Module]]] = getattr(module, "stages", dict)
    for stage, modules in stages().items():
        weights = [weight.detach() for part in modules for weight in part.parameters() if weight.requires_grad]
        if weights:
            norms[f"weights/{stage}"] = float(torch.nn.utils.get_total_norm(weights))
    return norms
