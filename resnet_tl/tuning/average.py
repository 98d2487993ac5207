"""An exponential moving average of a network's weights, the one that validation and checkpoints use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn


class Average:
    """`average <- average + (1 - decay) (raw - average)` after every step; counters are copied.

    This form leaves a value that does not change as it is, bit for bit; `decay * average + (1 - decay) * raw` drifts.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.state = {key: tensor.detach().clone() for key, tensor in module.state_dict().items()}

    def update(self, module: nn.Module) -> None:
        raw = module.state_dict()
        floats = [key for key, tensor in raw.items() if tensor.is_floating_point()]
        torch._foreach_lerp_([self.state[key] for key in floats], [raw[key] for key in floats], 1 - self.decay)
        self.settle(module, raw.keys() - floats)

    def settle(self, module: nn.Module, keys: Iterable[str]) -> None:
        """Set the average of `keys` to the raw values, as when their stage freezes."""
        raw = module.state_dict()
        for key in keys:
            self.state[key].copy_(raw[key])

    def swap(self, module: nn.Module) -> None:
        """Exchange the module's values and the averages; a second call undoes the first."""
        for key, tensor in module.state_dict().items():
            held = tensor.detach().clone()
            tensor.copy_(self.state[key])
            self.state[key].copy_(held)

    def load(self, state: Mapping[str, Tensor]) -> None:
        for key, tensor in self.state.items():
            tensor.copy_(state[key])
