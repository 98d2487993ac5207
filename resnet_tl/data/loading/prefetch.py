"""Copying the next batch to the device while the current one is used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

import torch

from resnet_tl.structures.records import Batch

Sent = TypeVar("Sent")


class Transfer(Protocol, Generic[Sent]):
    """A way to a device, as `SideStream`."""

    def send(self, batch: Batch) -> Sent:
        """Starts to copy a batch."""

    def receive(self, sent: Sent) -> Batch:
        """Returns the copy; what is computed from it waits until it is complete."""


class SideStream:
    """Copies batches to a GPU on a stream of its own, next to what the current stream computes.

    It overlaps with that only for batches in pinned memory; others are copied as correctly, but slower.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._stream = torch.cuda.Stream(device)

    def send(self, batch: Batch) -> tuple[Batch, torch.Event]:
        with torch.cuda.stream(self._stream):
            return batch.to(self.device, non_blocking=True), self._stream.record_event()

    def receive(self, sent: tuple[Batch, torch.Event]) -> Batch:
        batch, copied = sent
        stream = torch.cuda.current_stream(self.device)
        stream.wait_event(copied)
        # Its memory is of the side stream, which would use it again as soon as Python drops the batch.
        batch.record_stream(stream)
        return batch


def prefetched(batches: Iterator[Batch], transfer: Transfer[Sent]) -> Iterator[Batch]:
    """Yields the batches on the device. When one is yielded, the copy of the next has begun.

    An error in the next one is raised when it is its turn.
    """
    following = _send_next(batches, transfer)
    while following is not None:
        if isinstance(following, Exception):
            raise following
        current, following = following, _send_next(batches, transfer)
        yield transfer.receive(current)


def _send_next(batches: Iterator[Batch], transfer: Transfer[Sent]) -> Sent | Exception | None:
    try:
        batch = next(batches, None)
        return None if batch is None else transfer.send(batch)
    except Exception as error:
        return error
