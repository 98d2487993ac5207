"""Activation checkpointing that changes nothing but memory and time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def run_in_segments(blocks: nn.Sequential, x: Tensor, segments: int) -> Tensor:
    """`blocks(x)`, in `segments` pieces of which the backward pass keeps only the inputs; 0 keeps every map.

    Gradients, running statistics and counters are those of `blocks(x)`, bit for bit. Under torch.compile the compiler
    decides what to keep.
    """
    if segments == 0 or not torch.is_grad_enabled() or torch.compiler.is_compiling():
        return blocks(x)
    length = math.ceil(len(blocks) / segments)
    for first in range(0, len(blocks), length):
        x = _checkpointed(blocks[first : first + length], x)
    return x


def _checkpointed(blocks: nn.Sequential, x: Tensor) -> Tensor:
    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _buffers_spared(blocks)

    return checkpoint(blocks, x, use_reentrant=False, context_fn=contexts)


@contextmanager
def _buffers_spared(blocks: nn.Sequential) -> Iterator[None]:
    """While it lasts, buffers are copies that may be written to: batch norms have counted this batch once already."""
    kept = [(module, dict(module._buffers)) for module in blocks.modules() if module._buffers]
    for module, buffers in kept:
        module._buffers.update({name: value.clone() for name, value in buffers.items() if value is not None})
    try:
        yield
    finally:
        for module, buffers in kept:
            module._buffers.update(buffers)
