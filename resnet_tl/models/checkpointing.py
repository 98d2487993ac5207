"""Activation checkpointing with exact results: it trades time for memory and changes nothing else."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def run_in_segments(blocks: nn.Sequential, x: Tensor, segments: int) -> Tensor:
    """Computes `blocks(x)` in `segments` pieces, of which the backward pass stores only the inputs; 0 stores all maps.

    Gradients, running statistics and counters equal those of `blocks(x)` bit for bit. Under torch.compile the compiler
    decides what to store.

    Args:
        x: `[N, C, H, W]`.
    """
    if segments == 0 or not torch.is_grad_enabled() or torch.compiler.is_compiling():
        return blocks(x)
    length = math.ceil(len(blocks) / segments)
    for first in range(0, len(blocks), length):
        x = _checkpointed(blocks[first : first + length], x)
    return x


def _checkpointed(blocks: nn.Sequential, x: Tensor) -> Tensor:
    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _temporary_buffers(blocks)

    return checkpoint(blocks, x, use_reentrant=False, context_fn=contexts)


@contextmanager
def _temporary_buffers(blocks: nn.Sequential) -> Iterator[None]:
    """Replaces buffers by copies, and discards these at the end."""
    # The recomputation is a second training-mode pass over the same batch. Batch norms have counted this batch in the
    # first pass; counting it again would move the running statistics twice.
    originals = [(module, dict(module._buffers)) for module in blocks.modules() if module._buffers]
    for module, buffers in originals:
        module._buffers.update({name: value.clone() for name, value in buffers.items() if value is not None})
    try:
        yield
    finally:
        for module, buffers in originals:
            module._buffers.update(buffers)
