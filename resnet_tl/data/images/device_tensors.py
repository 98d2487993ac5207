"""Numbers from the CPU to a device, and bytes there."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def upload(values: Any, device: torch.device, dtype: torch.dtype = torch.float32) -> Tensor:
    """Returns a list, array or tensor of the CPU on the device, without waiting for what a GPU has still to do: a copy
    from memory that is not pinned would."""
    tensor = torch.as_tensor(values, dtype=dtype)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def to_bytes(values: Tensor) -> Tensor:
    return values.round().clamp(0, 255).to(torch.uint8)
