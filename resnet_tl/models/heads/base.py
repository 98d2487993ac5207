"""The contract of every head: maps in, outputs out; loss and decoding are methods of their own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from resnet_tl.structures.records import Boxes, Detections


class Head(nn.Module, ABC):
    """What sits on a trunk or neck and answers the task's question.

    A head is built as `Head(levels, classes, **options)`: the `Level`s it may read, shallow to deep, and the class
    names. A recipe names it by class path; a head of one's own subclasses this and needs nothing registered.
    On any batch, one without objects included, every trainable parameter gets a gradient (zeros allowed).

    Attributes:
        reads: names of the levels that it reads; None: all. What nobody reads is neither kept nor, if it is the
            deepest, computed.
        condensed: names what `condense` does, so that what was kept by another way is not taken for it.
    """

    reads: Sequence[str] | None = None
    condensed: str = ""

    @abstractmethod
    def forward(self, maps: dict[str, Tensor], sizes: Tensor | None, input_size: tuple[int, int]) -> Any:
        """Raw outputs from the maps `{name: [N, C, H, W]}` of the levels.

        `sizes` `[N, 2]` holds (h, w) of each image before padding, None when nothing was padded; `input_size` is
        (h, w) of the batch.
        """

    def condense(self, maps: dict[str, Tensor]) -> dict[str, Tensor]:
        """Smaller maps `[N, C, h, w]` by the same names for which `forward` gives the very same outputs: what is worth
        keeping, where a fixed function comes first, as pooling does. Whatever is trained or random comes later."""
        return maps

    @abstractmethod
    def loss(self, outputs: Any, targets: Any) -> dict[str, Tensor]:
        """The named terms, scalars in fp32 (fp64 of a network in fp64) under any autocast; their sum is the loss."""

    @abstractmethod
    def predict(self, outputs: Any) -> Any:
        """What `forward`'s outputs mean: probabilities, or boxes and masks in pixels of the input."""


class DetectorOutputs(Protocol):
    """What a head that finds objects makes of maps, for a batch."""

    def image(self, number: int) -> DetectorOutputs:
        """Those of one image of the batch, as a batch."""


class DetectionHead(Head):
    """A head that finds objects. `forward` gives `DetectorOutputs`, so that images can be judged one by one."""

    @abstractmethod
    def loss(self, outputs: Any, targets: Boxes) -> dict[str, Tensor]:
        """As of every head; targets in pixels of the batch's images."""

    @abstractmethod
    def predict(self, outputs: Any) -> Detections:
        """Boxes, and masks if it finds any, in pixels of the batch's images."""


def at_least_fp32(values: Tensor) -> Tensor:
    """fp32 of half precisions; fp32 and fp64 as they are."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
