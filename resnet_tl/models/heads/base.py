"""The contract of heads: maps in, outputs out; the loss and the decoding are separate methods."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from resnet_tl.structures.records import Boxes, Detections


class Head(nn.Module, ABC):
    """Base of heads, which turn the maps of a trunk or neck into the outputs of a task.

    A head is built as `Head(levels, classes, **options)`: the `Level`s that it may read, shallow to deep, and the class
    names. A recipe names it by class path; a custom head subclasses this and needs no registration.
    On any batch, including one without objects, every trainable parameter gets a gradient (zeros allowed).

    Outputs, targets and predictions are of the head's own types; tasks and predictors pass them on.

    Attributes:
        reads: names of the levels that it reads; None: all. Levels that are not read are not stored, and not computed
            if they are the deepest.
        condensed: names what `condense` does, so that cached maps are not reused after a change of it.
    """

    reads: Sequence[str] | None = None
    condensed: str = ""

    @abstractmethod
    def forward(self, maps: dict[str, Tensor], sizes: Tensor | None, input_size: tuple[int, int]) -> Any:
        """Computes the raw outputs.

        Args:
            maps: `{level: [N, C, H, W]}`.
            sizes: `[N, 2]`, (h, w) of each image in pixels before padding; None if nothing was padded.
            input_size: (h, w) of the batch in pixels.
        """

    def condense(self, maps: dict[str, Tensor]) -> dict[str, Tensor]:
        """Shrinks maps for caching: returns smaller maps `[N, C, h, w]` by the same names for which `forward` gives
        identical outputs. Possible where the head starts with a fixed function such as pooling, before anything that is
        trained or random."""
        return maps

    @abstractmethod
    def loss(self, outputs: Any, targets: Any) -> dict[str, Tensor]:
        """Returns the named terms, scalars in fp32 (fp64 for a network in fp64) under any autocast; their sum is the
        loss."""

    def fixed_shapes(self, targets: Any, images: int) -> Any:
        """Returns the targets of a batch of `images` images in a form that `loss` takes too and whose shapes do not
        depend on their values: what `tuning.compile: all` compiles takes this form."""
        return targets

    @abstractmethod
    def predict(self, outputs: Any) -> Any:
        """Decodes the outputs of `forward` to probabilities, or to boxes and masks in pixels of the input."""


class DetectorOutputs(Protocol):
    """The outputs of a detection head for a batch."""

    def image(self, number: int) -> DetectorOutputs:
        """Selects one image of the batch, as a batch."""


class DetectionHead(Head):
    """Base of heads that detect objects. `forward` returns `DetectorOutputs`, so that images can be evaluated one by
    one.

    Attributes:
        aligned: how its masks are pasted, see `resnet_tl.models.pasting`.
    """

    aligned: bool = False

    @abstractmethod
    def loss(self, outputs: Any, targets: Boxes) -> dict[str, Tensor]:
        """Returns the named terms, see `Head.loss`; targets in pixels of the batch's images."""

    @abstractmethod
    def predict(self, outputs: Any) -> Detections:
        """Returns boxes, and masks from heads that predict them, in pixels of the batch's images."""


def at_least_fp32(values: Tensor) -> Tensor:
    """Casts half precisions to fp32; leaves fp32 and fp64 unchanged."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
