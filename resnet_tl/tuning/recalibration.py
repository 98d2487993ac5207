"""Estimating the running statistics of batch norms again, with the final weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from resnet_tl.tuning.freezing import is_fixed_in_eval
from resnet_tl.tuning.ranks import average

if TYPE_CHECKING:
    from resnet_tl.tuning.protocols import Trainer


def recalibrate_with(trainer: Trainer, module: nn.Module, count: int) -> int:
    """Runs `recalibrate` over `count` of the Trainer's training batches; each rank uses as many of its own.

    A batch is passed to the module's `calibration_step`, or its first element to the module itself.
    """
    step = getattr(module, "calibration_step", None) or (lambda batch: module(batch[0]))
    batches = (trainer.strategy.batch_to_device(batch) for batch in islice(trainer.train_dataloader, count))
    with trainer.precision_plugin.forward_context():
        return recalibrate(module, step, batches)


def recalibrate(module: nn.Module, forward: Callable[[Any], Any], batches: Iterable[Any]) -> int:
    """Replaces the statistics of all trained norms in `module` by their mean over `batches`; weights do not change.

    Everything but these norms is in eval mode meanwhile, so that dropout draws nothing; frozen norms do not change.
    All ranks must call it, with as many batches each; the mean is over the batches of all ranks.
    Returns the number of norms.
    """
    norms = [part for part in module.modules() if isinstance(part, _BatchNorm) and not is_fixed_in_eval(part)]
    norms = [norm for norm in norms if norm.running_mean is not None]
    modes = {part: part.training for part in module.modules()}
    momenta = [norm.momentum for norm in norms]
    module.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a cumulative instead of a moving average
        norm.train()
    with torch.no_grad():
        for batch in batches:
            forward(batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        assert norm.running_mean is not None
        assert norm.running_var is not None
        average([norm.running_mean, norm.running_var])
    for part, mode in modes.items():
        part.training = mode
    return len(norms)
