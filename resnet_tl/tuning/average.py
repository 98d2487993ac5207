"""The exponential moving average of a network's weights, used by validation and checkpoints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

RAW_STATE = "raw_state_dict"
"""The checkpoint key of the raw weights, those that are trained; its `state_dict` holds the averages."""


class Average:
    """`average <- average + (1 - decay) (raw - average)` after every step; integer counters are copied.

    A constant value stays the same bit for bit in this form; with `decay * average + (1 - decay) * raw` it drifts.

    Args:
        decay: of the average, at most.
        updates: how often it was updated before, from which the warm-up follows; None: `decay` from the first on.

    Attributes:
        state: the averages by state-dict key.
        swapped: whether the module holds the averages now, and `state` the raw weights.
    """

    def __init__(self, module: nn.Module, decay: float, updates: int | None = None) -> None:
        self.decay, self.updates, self.swapped = decay, updates, False
        raw = module.state_dict(keep_vars=True)
        copies = {id(tensor): tensor.detach().clone() for tensor in raw.values()}  # tied stays tied
        self.state: dict[str, Tensor] = {key: copies[id(tensor)] for key, tensor in raw.items()}

    def update(self, module: nn.Module) -> None:
        raw = self._untied(module)
        floats = [key for key, tensor in raw.items() if tensor.is_floating_point()]
        # One call for all tensors instead of one for each.
        torch._foreach_lerp_([self.state[key] for key in floats], [raw[key] for key in floats], 1 - self._next_decay())
        self.copy_raw(module, raw.keys() - floats)

    def _next_decay(self) -> float:
        if self.updates is None:
            return self.decay
        self.updates += 1
        return min(self.decay, warm_decay(self.updates - 1))

    def note(self, steps: int) -> str | None:
        """Returns a sentence if the warm-up does not reach `decay` in a run of `steps`."""
        if self.updates is None or warm_decay(steps) >= self.decay:
            return None
        return f"tuning.ema is {self.decay:g}; its warm-up reaches {warm_decay(steps):.3g} in this run's {steps} steps"

    def copy_raw(self, module: nn.Module, keys: Iterable[str]) -> None:
        """Sets the averages of `keys` to the raw values, as when their stage is frozen."""
        raw = module.state_dict()
        for key in keys:
            self.state[key].copy_(raw[key])

    def swap(self, module: nn.Module) -> None:
        """Exchanges the module's values and the averages; a second call undoes the first."""
        for key, tensor in self._untied(module).items():
            value = tensor.detach().clone()
            tensor.copy_(self.state[key])
            self.state[key].copy_(value)
        self.swapped = not self.swapped

    def save(self, checkpoint: dict[str, Any]) -> None:
        """Stores the averages as a checkpoint's `state_dict`, and the raw weights under `RAW_STATE`."""
        state = {key: tensor.clone() for key, tensor in self.state.items()}
        if self.swapped:
            checkpoint[RAW_STATE] = state
        else:
            checkpoint[RAW_STATE], checkpoint["state_dict"] = checkpoint["state_dict"], state

    def buffers(self, module: nn.Module) -> list[Tensor]:
        """Returns the averages of the module's buffers."""
        return [self.state[name] for name, _ in module.named_buffers() if name in self.state]

    def load(self, state: Mapping[str, Tensor]) -> None:
        for key, tensor in self.state.items():
            tensor.copy_(state[key])

    def _untied(self, module: nn.Module) -> dict[str, Tensor]:
        """Returns the module's state, with each tied tensor once."""
        first: dict[int, str] = {}
        for key, tensor in self.state.items():
            first.setdefault(id(tensor), key)
        raw = module.state_dict()
        return {key: raw[key] for key in first.values()}


HORIZONS = 25.6
"""A run has so many times the steps that its average reaches back over, with `tuning.ema: auto`."""


def decay_of(ema: float | Literal["auto"], steps: int) -> float:
    """Returns the decay of a run of `steps`; `auto` is the one whose average reaches back over 1 / 25.6 of them.

    That is the average of torchvision's published classifiers (references/classification/train.py, after pycls's
    net.py, which keep it so for any batch size and number of epochs): `--model-ema-decay 0.99998` forgets a share of
    2e-5 x batch / epochs with each step, which over the steps of a run on ImageNet's 1,281,167 images adds up to 25.6.
    """
    return max(1 - HORIZONS / steps, 0.0) if ema == "auto" else ema


def warm_decay(updates: int) -> float:
    """Returns the highest decay after this number of updates, timm's `ModelEmaV3(use_warmup=True)`: 0 (a copy) at
    first, 0.95 after 80, 0.99 after 1,000. With a high decay alone the initial weights would outweigh the trained ones
    in a short run."""
    return 1 - (1 + updates) ** (-2 / 3)
