"""A training step in micro-batches, done again in smaller ones where memory is full.

The loader's batches, and with them samples, order, schedule and global batch, stay as they are: a batch goes through
the network in pieces whose gradients, weighted by their images, add up to the gradient of its mean loss.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch.strategies import DDPStrategy, DeepSpeedStrategy, SingleDeviceStrategy
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from resnet_tl.errors import RecipeError, RunError, memory_full
from resnet_tl.models.ranks import before_count
from resnet_tl.structures.micro_batches import split
from resnet_tl.structures.records import Batch, Features
from resnet_tl.tuning.ranks import average, on_any
from resnet_tl.tuning.resume import random_state, set_gradients, set_random_state

if TYPE_CHECKING:
    from resnet_tl.tasks.base import Task

NOT_EVEN_ONE = (
    "the device's memory is full even with one image at a time: lower data.image_size, or set "
    "model.backbone.checkpoint_segments"
)

Terms = dict[str, Tensor]
"""The terms of a loss by name, detached."""


class MicroBatches:
    """Runs the training steps of a task.

    On one device all gradients are computed here, so that a step that does not fit can be done again. On several, the
    last micro-batch is Lightning's to run backward, which overlaps with the exchange of gradients; but in the first two
    steps of an epoch, and for batches larger than any before in it, gradients are computed here and exchanged when all
    ranks have theirs. A rank whose memory is full tells the others where they would wait for it.

    Attributes:
        size: images that go through the network at once; None: the whole batch.
        recover: halve `size` and do the optimizer step again if memory is full, in place of an error.
        done: whether this batch's gradients are computed, except for those of a graph that `step` returned.
    """

    def __init__(self) -> None:
        self.size: int | None = None
        self.recover = True
        self.done = False
        self._can_recover = False
        self._largest = 0
        self._window: list[Batch] = []
        self._before: dict[str, Any] = {}
        self._moving: list[Tensor] = []

    def start(self, task: Task, *, overridden: bool) -> None:
        """Starts a fit. overridden: the task's class has its own way to compute or clear gradients.

        Raises:
            RecipeError: there is a `size`, but this fit cannot split batches.
        """
        strategy = task.trainer.strategy
        sharding = isinstance(strategy, DeepSpeedStrategy)  # a subclass of DDPStrategy
        splits = isinstance(strategy, DDPStrategy | SingleDeviceStrategy) and not (sharding or overridden)
        whole = None if task.regularisers is None else task.regularisers.unsplittable()
        if self.size is not None and whole:
            raise RecipeError(f"trainer.micro_batch is {self.size}, but {whole} needs whole batches; omit one of them")
        splits = splits and not whole
        if self.size is not None and not splits:
            kind = type(task) if overridden else type(strategy)
            raise RecipeError(f"trainer.micro_batch is {self.size}, but {kind.__name__} cannot split batches; omit it")
        synchronised = any(isinstance(part, nn.SyncBatchNorm) for part in task.modules())  # they wait in the network
        self._can_recover = self.recover and splits and not (synchronised and task.trainer.world_size > 1)
        if self.size is not None and task.compiled is not None:
            task.compiled.leave_graphs()
        self.start_epoch(task)

    def start_epoch(self, task: Task) -> None:
        """Takes the next steps for larger than any before: a phase may have begun that trains more."""
        self._largest, self._window = 0, []
        self._moving = [b for part in task.network.modules() if part.training for b in part.buffers(recurse=False)]

    def step(self, task: Task, batch: Batch, batch_idx: int) -> Tensor:
        """Returns the batch's mean loss, with the graph that Lightning is to run backward, if any is left."""
        careful = self._can_recover and self._is_careful(task, batch, batch_idx)
        if not careful and (self.size is None or len(batch) <= self.size):
            return task.log_loss(task.loss_terms(task.whole_batch(batch)), len(batch))
        self.done, starts = True, batch_idx % task.trainer.accumulate_grad_batches == 0
        if starts:
            task.zero_grad()
        if not careful:
            return self._all_but_last(task, batch)
        if starts or not self._window:  # it is empty after a resume between two batches of one optimizer step
            self._window = []
            self._remember(task)
        self._window.append(batch)
        terms = self._attempt(task, [batch])
        while terms is None:
            self._halve(task)
            self._restore(task)
            terms = self._attempt(task, self._window)
        self._largest = max(self._largest, _values(batch))
        _exchange_gradients(task)
        return task.log_loss(terms, len(batch))

    def after_backward(self, task: Task) -> None:
        self.done = False
        wrapper = task.trainer.strategy.model
        if isinstance(wrapper, DistributedDataParallel):
            wrapper.require_backward_grad_sync = True

    def _is_careful(self, task: Task, batch: Batch, batch_idx: int) -> bool:
        # A step of a head on cached features takes less time than to remember what it changes.
        if task.trainer.world_size == 1 and not isinstance(batch.images, Features):
            return True
        first = batch_idx < 2 * task.trainer.accumulate_grad_batches  # the second step has the optimizer's state, too
        return on_any(first or _values(batch) > self._largest)

    def _all_but_last(self, task: Task, batch: Batch) -> Tensor:
        whole = task.whole_batch(batch)
        *first, last = split(whole, self.size)
        share = len(last) / len(whole)
        left = {name: term * share for name, term in task.loss_terms(last).items()}
        loss = torch.stack(list(left.values())).sum()
        terms = [_run(task, piece, len(piece) / len(whole)) for piece in first]
        mean = task.log_loss(_sum([*terms, {name: term.detach() for name, term in left.items()}]), len(batch))
        return loss + (mean - loss).detach()

    def _attempt(self, task: Task, batches: Sequence[Batch]) -> Terms | None:
        """Adds the batches' gradients; returns the last one's terms, or None if memory is full on any rank."""
        try:
            with before_count(_join):
                for batch in batches:
                    whole = task.whole_batch(batch)
                    pieces = split(whole, self.size)
                    terms = _sum([_run(task, piece, len(piece) / len(whole)) for piece in pieces])
            _join()
            return terms
        except _FullElsewhere:
            return None
        except (RuntimeError, MemoryError) as error:
            if not is_full(error):
                raise
        on_any(True)  # outside of the clause, in which the error still holds what the step has stored
        return None

    def _remember(self, task: Task) -> None:
        """Stores what a step changes before its end."""
        self._before = {
            "random": random_state(task.device),
            "gradients": {name: p.grad.detach().clone() for name, p in task.named_parameters() if p.grad is not None},
            "buffers": [buffer.clone() for buffer in self._moving],
        }

    def _restore(self, task: Task) -> None:
        set_random_state(self._before["random"], task.device)
        set_gradients(task, self._before["gradients"])
        for buffer, before in zip(self._moving, self._before["buffers"], strict=True):
            buffer.copy_(before)

    def _halve(self, task: Task) -> None:
        longest = max(map(len, self._window))
        size = longest if self.size is None else min(self.size, longest)
        if size == 1:
            raise RunError(NOT_EVEN_ONE)
        self.size = -(-size // 2)
        if task.compiled is not None:
            task.compiled.leave_graphs()
            task.compiled.start_phase()  # for batches of this size
        free_memory(task.device)
        norms = any(isinstance(part, _BatchNorm) and part.training for part in task.modules())
        rank_zero_warn(
            f"memory was full in step {task.global_step}: from this step on, {self.size} images at a time go through "
            f"the network in place of {size}; the global batch stays the same"
            + (f", but batch norms normalise over {self.size} images (model.tuning.norm: frozen does not)" * norms)
        )


class _FullElsewhere(Exception):
    """Memory is full on another rank."""


def _join() -> None:
    """Waits for the other ranks, of which none must have run out of memory."""
    if on_any(False):
        raise _FullElsewhere


def _run(task: Task, piece: Batch, share: float) -> Terms:
    """Adds the gradients of a micro-batch that is a `share` of its batch; returns its share of the terms."""
    terms = task.loss_terms(piece)
    loss = torch.stack(list(terms.values())).sum() * share / task.trainer.accumulate_grad_batches
    scaler = getattr(task.trainer.precision_plugin, "scaler", None)
    kind = task.device.type
    with torch.autocast(kind, enabled=False) if torch.is_autocast_enabled(kind) else nullcontext():
        (loss if scaler is None else scaler.scale(loss)).backward()
    torch.clear_autocast_cache()  # its casts of the weights belong to this graph
    return {name: term.detach() * share for name, term in terms.items()}


def _sum(each: Sequence[Terms]) -> Terms:
    return {name: torch.stack([terms[name] for terms in each]).sum() for name in each[0]}


def _exchange_gradients(task: Task) -> None:
    """Averages the gradients over ranks, in place of the wrapper, if an optimizer step follows."""
    wrapper = task.trainer.strategy.model
    if isinstance(wrapper, DistributedDataParallel) and wrapper.require_backward_grad_sync:
        average(parameter.grad for parameter in task.parameters() if parameter.grad is not None)
        wrapper.require_backward_grad_sync = False  # until `after_backward`


def _values(batch: Batch) -> int:
    images = batch.images
    return images.numel() if isinstance(images, Tensor) else sum(value.numel() for value in images.maps.values())


def free_memory(device: torch.device) -> None:
    """Gives back what a failed step held."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def is_full(error: BaseException) -> bool:
    """Whether an error means that the memory of a device, or of this machine, is full."""
    signs = ("CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")
    is_out = isinstance(error, torch.OutOfMemoryError) or any(sign in str(error) for sign in signs)
    return is_out or memory_full(error) is not None
