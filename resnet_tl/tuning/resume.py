"""Where a run is between two batches, as a dict of tensors and plain Python, and back.

Lightning's checkpoint knows weights, optimizers, schedulers and counters. What it leaves out is here: the states of all
random generators, how far the training loaders are, gradients gathered so far (within an accumulation window), and what
was logged for the epoch so far. With these a run goes on bit for bit as the one that was not stopped.
"""

from __future__ import annotations

import builtins
import random
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torchmetrics import Metric

State = dict[str, Any]

ORDINARY_LOADER = (
    "The training loader has no state_dict and load_state_dict: this run went on in the middle of an epoch, whose "
    "remaining batches are drawn anew; with such a loader a run goes on exactly from the end of an epoch only."
)


class Position:
    """Of a Trainer. `mark` it after every batch, before the next one is fetched; a checkpoint may be written at any
    time until the next mark, also when a batch was fetched that was not trained on, or within a validation."""

    def __init__(self) -> None:
        self.random: State | None = None
        self.loaders: list[State] = []

    def mark(self, trainer: Any) -> None:
        self.random = random_state(trainer.strategy.root_device)
        self.loaders = trainer.fit_loop._combined_loader._state_dicts()

    def rewind(self, trainer: Any) -> None:
        """Undo what was drawn since."""
        if self.random is not None:
            set_random_state(self.random, trainer.strategy.root_device)

    def state(self, trainer: Any, module: nn.Module) -> list[State]:
        """On rank 0 a state for every rank; all ranks must ask."""
        mine: State = {"random": self.random, "loaders": self.loaders}
        if _inside_epoch(trainer):
            mine["logged"] = logged(trainer)
            mine["metrics"] = {} if trainer.validating else metrics(module)
            mine["gradients"] = gradients(module) if _inside_window(trainer) else {}
        mine["callback_metrics"] = _on_cpu(trainer._logger_connector._callback_metrics)
        if not (dist.is_available() and dist.is_initialized()):
            return [mine]
        states: list[Any] | None = [None] * dist.get_world_size() if dist.get_rank() == 0 else None
        dist.gather_object(mine, states)
        return states or []

    def restore(self, trainer: Any, module: nn.Module, states: list[State]) -> str | None:
        """At the start of training, when loaders and their workers exist; a sentence about what cannot be exact.

        A rank that the saved run had not (it goes on with more devices) takes over rank 0's state.
        """
        mine = states[trainer.global_rank] if trainer.global_rank < len(states) else states[0]
        loop = trainer.fit_loop
        midway = loop.restarted_mid_epoch
        if not midway:  # the epoch's iterators draw their seeds as they would have
            set_random_state(mine["random"], trainer.strategy.root_device)
        elif mine["loaders"]:
            loop._combined_loader._load_state_dicts(mine["loaders"])
        # Lightning has made iterators before it knew where the run was, and their workers began to fetch.
        _set_epoch(loop)
        iter(loop._data_fetcher)
        set_logged_metrics(trainer, mine["callback_metrics"])
        if midway:
            set_gradients(module, mine["gradients"])
            set_logged(trainer, mine["logged"])
            set_metrics(module, mine["metrics"])
            set_random_state(mine["random"], trainer.strategy.root_device)
        self.random, self.loaders = mine["random"], mine["loaders"]
        return ORDINARY_LOADER if midway and not mine["loaders"] else None


def random_state(device: torch.device) -> State:
    """Of Python's, NumPy's and torch's global generators, and of the device's own."""
    version, numbers, gauss = random.getstate()
    kind, words, position, has_gauss, cached = np.random.get_state(legacy=True)
    state = {
        "python": [version, list(numbers), gauss],
        "numpy": [kind, torch.from_numpy(np.asarray(words, np.int64)), position, has_gauss, cached],
        "torch": torch.get_rng_state(),
    }
    if device.type == "cuda":
        state["device"] = torch.cuda.get_rng_state(device)
    if device.type == "mps":
        state["device"] = torch.mps.get_rng_state()
    return state


def set_random_state(state: State, device: torch.device) -> None:
    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers), gauss))
    kind, words, position, has_gauss, cached = state["numpy"]
    np.random.set_state((kind, words.numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(state["torch"])
    if device.type == "cuda" and "device" in state:
        torch.cuda.set_rng_state(state["device"], device)
    if device.type == "mps" and "device" in state:
        torch.mps.set_rng_state(state["device"])


def gradients(module: nn.Module) -> State:
    """What was gathered so far."""
    return {name: p.grad.detach().cpu() for name, p in module.named_parameters() if p.grad is not None}


def set_gradients(module: nn.Module, state: State) -> None:
    for name, parameter in module.named_parameters():
        parameter.grad = state[name].to(parameter.device, copy=True) if name in state else None


def metrics(module: nn.Module) -> State:
    """torchmetrics' objects that have seen something, by name: their states are no part of a state dict."""
    found = {name: m for name, m in module.named_modules() if isinstance(m, Metric) and m._update_count}
    return {name: [m._update_count, _on_cpu(m.metric_state)] for name, m in found.items()}


def set_metrics(module: nn.Module, state: State) -> None:
    for name, (updates, values) in state.items():
        metric: Any = module.get_submodule(name)
        for key, value in _on_device(values, metric.device).items():
            setattr(metric, key, value)
        metric._update_count, metric._computed = updates, None


def logged(trainer: Any) -> list[State]:
    """What training steps have logged in this epoch so far: sums that become means at its end, and last values."""
    results = trainer.fit_loop.epoch_loop._results
    return [_result(metric) for metric in results.values() if metric.is_tensor and not metric.has_reset]


def set_logged(trainer: Any, state: list[State]) -> None:
    results = trainer.fit_loop.epoch_loop._results
    for saved in state:
        call = {**saved["call"], "reduce_fx": _reduction(saved["call"]["reduce_fx"])}
        start = _on_device(saved["values"]["value"], trainer.strategy.root_device)
        results.log(**call, value=start, sync_dist_fn=trainer.strategy.reduce, batch_size=1)
        metric = results[f"{call['fx']}.{call['name']}"]
        vars(metric).update(_on_device(saved["values"], trainer.strategy.root_device), _computed=None)
    if state:  # the next batch is not the epoch's first, at which Lightning would set all of this to zero
        trainer._logger_connector._first_loop_iter = True


def set_logged_metrics(trainer: Any, state: State) -> None:
    """The values that callbacks see (`trainer.callback_metrics`): of the last validation, among others."""
    trainer._logger_connector._callback_metrics.update(_on_device(state, trainer.strategy.root_device))


def _result(metric: Any) -> State:
    meta = metric.meta
    flags = ("fx", "name", "prog_bar", "logger", "on_step", "on_epoch", "enable_graph", "add_dataloader_idx")
    call = {flag: getattr(meta, flag) for flag in flags}
    call |= {"sync_dist": meta.sync.should, "rank_zero_only": meta.sync.rank_zero_only}
    call["reduce_fx"] = ("builtins." if meta.reduce_fx is builtins.sum else "torch.") + meta.reduce_fx.__name__
    names = ("value", "cumulated_batch_size", "_forward_cache", "_update_count")
    values = {name: vars(metric)[name] for name in names if vars(metric).get(name) is not None}
    return {"call": call, "values": _on_cpu(values)}


def _reduction(name: str) -> Any:
    module, _, function = name.partition(".")
    return getattr(builtins if module == "builtins" else torch, function)


def _inside_epoch(trainer: Any) -> bool:
    """Whether batches of an epoch that is not over were trained on."""
    progress = trainer.fit_loop.epoch_progress.current
    return progress.started > progress.processed and trainer.fit_loop.epoch_loop.batch_progress.current.processed > 0


def _inside_window(trainer: Any) -> bool:
    """Whether gradients are gathered for a step that was not made yet."""
    loop = trainer.fit_loop.epoch_loop
    window_over = loop.batch_progress.current.processed % trainer.accumulate_grad_batches == 0
    return not (window_over or trainer.validating)


def _set_epoch(loop: Any) -> None:
    """As Lightning does when the epoch begins, which is too late for workers that fetch ahead."""
    for loader in loop._combined_loader.flattened:
        for owner in (loader, getattr(loader, "batch_sampler", None)):
            set_epoch = getattr(getattr(owner, "sampler", None), "set_epoch", None)
            if callable(set_epoch):
                set_epoch(loop.epoch_progress.current.processed)


def _on_cpu(value: Any) -> Any:
    return _on_device(value, torch.device("cpu"))


def _on_device(value: Any, device: torch.device) -> Any:
    """A copy: what is saved must not change with what goes on."""
    if isinstance(value, Tensor):
        if device.type == "mps" and value.dtype == torch.float64:  # as rates are logged, on the CPU: MPS has none
            return value.detach().clone()
        return value.detach().to(device, copy=True)
    if isinstance(value, dict):
        return {key: _on_device(item, device) for key, item in value.items()}
    return [_on_device(item, device) for item in value] if isinstance(value, list) else value
