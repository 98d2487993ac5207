"""Whether a network's outputs are numbers."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor


def all_finite(outputs: object) -> bool:
    """Whether no floating-point tensor in a tensor, a sequence or mapping, or the attributes of an object holds NaN or
    infinite values."""
    return all(bool(tensor.isfinite().all()) for tensor in _tensors(outputs))


def _tensors(outputs: object) -> Iterator[Tensor]:
    if isinstance(outputs, Tensor):
        if outputs.is_floating_point():
            yield outputs
    elif isinstance(outputs, (list, tuple)):
        for item in outputs:
            yield from _tensors(item)
    elif isinstance(outputs, dict) or hasattr(outputs, "__dict__"):
        yield from _tensors(list((outputs if isinstance(outputs, dict) else vars(outputs)).values()))
