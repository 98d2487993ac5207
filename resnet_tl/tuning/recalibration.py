"""Running statistics of batch norms, estimated anew with the weights as they are at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from resnet_tl.tuning.freezing import is_held
from resnet_tl.tuning.ranks import average


def recalibrate_in(trainer: Any, module: nn.Module, count: int) -> int:
    """`recalibrate` over `count` training batches of the Trainer, on several processes each over so many of its own.

    What runs a batch is the module's `calibration_step`, or the module itself on the batch's first part.
    """
    step = getattr(module, "calibration_step", None) or (lambda batch: module(batch[0]))
    batches = (trainer.strategy.batch_to_device(batch) for batch in islice(trainer.train_dataloader, count))
    with trainer.precision_plugin.forward_context():
        return recalibrate(module, step, batches)


def recalibrate(module: nn.Module, forward: Callable[[Any], Any], batches: Iterable[Any]) -> int:
    """The statistics of all trained norms of `module` become the plain mean over `batches`; weights do not move.

    Everything but these norms is in eval mode meanwhile, so that dropout draws nothing; frozen norms stay as they are.
    Several processes must all call it, with as many batches each; the mean is over the batches of all.
    Returns how many norms it were.
    """
    norms = [part for part in module.modules() if isinstance(part, _BatchNorm) and not is_held(part)]
    norms = [norm for norm in norms if norm.running_mean is not None]
    modes = {part: part.training for part in module.modules()}
    momenta = [norm.momentum for norm in norms]
    module.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a cumulative mean
        norm.train()
    with torch.no_grad():
        for batch in batches:
            forward(batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        average([norm.running_mean, norm.running_var])  # type: ignore[list-item]
    for part, mode in modes.items():
        part.training = mode
    return len(norms)
