"""The position of a run between two batches, as a dict of tensors and plain Python, and back.

Lightning's checkpoint holds weights, optimizers, schedulers and counters. Here is what it leaves out: the states of all
random generators, how far the training loaders are, gradients accumulated so far, and what was logged for the epoch so
far. With these a resumed run equals the uninterrupted one bit for bit.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torchmetrics import Metric

from resnet_tl import lightning_internals
from resnet_tl.errors import RunError
from resnet_tl.tuning.numpy_state import NumpyState

if TYPE_CHECKING:
    from lightning import Trainer

State = dict[str, Any]

ORDINARY_LOADER = (
    "The training loader has no state_dict and load_state_dict: this run resumed in the middle of an epoch, whose "
    "remaining batches are drawn again; with such a loader a run resumes exactly from the end of an epoch only."
)


_numpy_state = NumpyState()


class Position:
    """Where a Trainer is within its run.

    Call `mark` after every batch, before the next one is fetched. A checkpoint may be written at any time until the
    next `mark`, even if a batch was fetched that is not trained on yet, or within a validation.
    """

    def __init__(self) -> None:
        self._random: State | RandomStates | None = None
        self.loaders: list[State] = []

    @property
    def random(self) -> State | None:
        """The random generators at the last `mark`."""
        if isinstance(self._random, RandomStates):  # converted when it is asked for: every batch marks
            self._random = _plain(self._random)
        return self._random

    def mark(self, trainer: Trainer) -> None:
        self._random = _captured(trainer.strategy.root_device)
        self.loaders = [loader.state_dict() for loader in _stateful_loaders(trainer)]

    def rewind(self, trainer: Trainer) -> None:
        """Sets the random generators back to the last `mark`."""
        if self.random is not None:
            set_random_state(self.random, trainer.strategy.root_device)

    def state(self, trainer: Trainer, module: nn.Module) -> list[State]:
        """Returns, on rank 0, the state of every rank; all ranks must call this."""
        state: State = {"random": self.random, "loaders": self.loaders}
        if _inside_epoch(trainer):
            state["logged"] = _on_cpu(lightning_internals.epoch_logs(trainer))
            state["metrics"] = {} if trainer.validating else metrics(module)
            state["gradients"] = gradients(module) if _inside_window(trainer) else {}
        state["callback_metrics"] = _on_cpu(lightning_internals.callback_metrics(trainer))
        if not (dist.is_available() and dist.is_initialized()):
            return [state]
        states: list[Any] | None = [None] * dist.get_world_size() if dist.get_rank() == 0 else None
        dist.gather_object(state, states)
        return states or []

    def restore(self, trainer: Trainer, module: nn.Module, states: list[State]) -> str | None:
        """Restores the position at the start of training, when loaders and their workers exist.

        A rank that the saved run did not have (it resumes with more devices) takes rank 0's state.
        Returns a warning if the run cannot resume exactly.
        """
        state = states[trainer.global_rank] if trainer.global_rank < len(states) else states[0]
        device, mid_epoch = trainer.strategy.root_device, trainer.fit_loop.restarted_mid_epoch
        if not mid_epoch:  # before the epoch's iterators draw their seeds
            set_random_state(state["random"], device)
        elif state["loaders"]:
            _load_loaders(trainer, state["loaders"])
        # Lightning made iterators before the position was known, and their workers began to fetch.
        _set_epoch(trainer)
        lightning_internals.restart_iterators(trainer)
        lightning_internals.callback_metrics(trainer).update(_on_device(state["callback_metrics"], device))
        if mid_epoch:
            set_gradients(module, state["gradients"])
            lightning_internals.set_epoch_logs(trainer, _on_device(state["logged"], device))
            set_metrics(module, state["metrics"])
            set_random_state(state["random"], device)
        self._random, self.loaders = state["random"], state["loaders"]
        return ORDINARY_LOADER if mid_epoch and not state["loaders"] else None


def random_state(device: torch.device) -> State:
    """Returns the states of Python's, NumPy's and torch's global generators, and of the device's."""
    return _plain(_captured(device))


class RandomStates(NamedTuple):
    """The generators' states in their own forms."""

    python: tuple[Any, ...]
    numpy: Any
    torch: Tensor
    device: Tensor | None


def _captured(device: torch.device) -> RandomStates:
    of_device = {"cuda": lambda: torch.cuda.get_rng_state(device), "mps": torch.mps.get_rng_state}.get(device.type)
    here = random.getstate(), _numpy_state.read(), torch.get_rng_state()
    return RandomStates(*here, None if of_device is None else of_device())


def _plain(states: RandomStates) -> State:
    version, numbers, gauss = states.python
    kind, words, position, has_gauss, cached = states.numpy
    state = {
        "python": [version, list(numbers), gauss],
        "numpy": [kind, torch.from_numpy(np.asarray(words, np.int64)), position, has_gauss, cached],
        "torch": states.torch,
    }
    return state if states.device is None else {**state, "device": states.device}


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
    """Returns the gradients accumulated so far, by parameter name."""
    return {name: p.grad.detach().cpu() for name, p in module.named_parameters() if p.grad is not None}


def set_gradients(module: nn.Module, state: State) -> None:
    for name, parameter in module.named_parameters():
        parameter.grad = state[name].to(parameter.device, copy=True) if name in state else None


def metrics(module: nn.Module) -> State:
    """Returns the states of torchmetrics' objects that were updated, by name: a state dict does not hold them."""
    updated = {name: m for name, m in module.named_modules() if isinstance(m, Metric) and m._update_count}
    return {name: [m._update_count, _on_cpu(m.metric_state)] for name, m in updated.items()}


def set_metrics(module: nn.Module, state: State) -> None:
    for name, (updates, values) in state.items():
        metric: Any = module.get_submodule(name)
        for key, value in _on_device(values, metric.device).items():
            setattr(metric, key, value)
        metric._update_count, metric._computed = updates, None


def _inside_epoch(trainer: Trainer) -> bool:
    """Whether some but not all batches of the epoch were trained on."""
    epochs: Any = trainer.fit_loop.epoch_progress.current
    return epochs.started > epochs.processed and _batches_done(trainer) > 0


def _inside_window(trainer: Trainer) -> bool:
    """Whether gradients are accumulated for a step that was not taken yet."""
    window_over = _batches_done(trainer) % trainer.accumulate_grad_batches == 0
    return not (window_over or trainer.validating)


def _batches_done(trainer: Trainer) -> int:
    batches: Any = trainer.fit_loop.epoch_loop.batch_progress.current
    return batches.processed


def _stateful_loaders(trainer: Trainer) -> list[Any]:
    loaders = lightning_internals.training_loaders(trainer)
    return [loader for loader in loaders if hasattr(loader, "state_dict") and hasattr(loader, "load_state_dict")]


def _load_loaders(trainer: Trainer, states: list[State]) -> None:
    loaders = _stateful_loaders(trainer)
    if len(loaders) != len(states):
        raise RunError(
            f"the checkpoint holds the states of {len(states)} training loaders, but {len(loaders)} have a state_dict "
            "now; resume with the loaders that it was written with"
        )
    for loader, state in zip(loaders, states, strict=True):
        loader.load_state_dict(state)


def _set_epoch(trainer: Trainer) -> None:
    """Sets the samplers' epoch, as Lightning does when the epoch begins: too late for workers that fetch ahead."""
    epochs: Any = trainer.fit_loop.epoch_progress.current
    for loader in lightning_internals.training_loaders(trainer):
        for owner in (loader, getattr(loader, "batch_sampler", None)):
            set_epoch = getattr(getattr(owner, "sampler", None), "set_epoch", None)
            if callable(set_epoch):
                set_epoch(epochs.processed)


def _on_cpu(value: Any) -> Any:
    return _on_device(value, torch.device("cpu"))


def _on_device(value: Any, device: torch.device) -> Any:
    """Returns a copy: what is saved must not change while training continues."""
    if isinstance(value, Tensor):
        if device.type == "mps" and value.dtype == torch.float64:  # rates are logged in float64, which MPS lacks
            return value.detach().clone()
        return value.detach().to(device, copy=True)
    if isinstance(value, dict):
        return {key: _on_device(item, device) for key, item in value.items()}
    return [_on_device(item, device) for item in value] if isinstance(value, list) else value
