"""What crosses borders between packages.

The letters: N pictures in a batch, C channels, H height, W width, K classes, V views of one picture.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Target: TypeAlias = "int | tuple[int, ...]"
"""A class index (multi-class) or the indices of all true classes, possibly none (multi-label)."""


class Level(NamedTuple):
    """A named map of a trunk or neck: its channels, and the pixels of the input that one of its cells spans."""

    name: str
    channels: int
    stride: int


@dataclass(frozen=True)
class Preprocessing:
    """How weights want their pictures: resize the short side to `size / crop`, cut the centre `size` x `size`,
    scale to 0...1, subtract `mean`, divide by `std` (one value a channel)."""

    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    size: int = 224
    interpolation: str = "bilinear"
    crop: float = 0.875


class Sample(NamedTuple):
    """One line of a listing. `key` is stable: the same picture has it on every machine, in every fold."""

    path: str
    target: Target
    key: str


class Draw(NamedTuple):
    """What a sampler yields: sample `index` in `epoch`, its `repeat`-th time within the epoch (0 at first).

    `index` -1 fills up an evaluation batch: it passes through the network and counts nowhere.
    """

    epoch: int
    index: int  # type: ignore[assignment]  # it hides `tuple.index`
    repeat: int = 0


@dataclass
class Batch:
    """Pictures on their way to the device.

    images: uint8 (0...255) or uint16 (0...65535), `[N*V, C, H, W]`, channels-last, the V views of a picture adjacent.
    targets: class indices `[N]` int64, or multi-hot `[N, K]` float32.
    sizes, original_sizes: `[N, 2]` int64, (h, w) before padding, and of the file after EXIF rotation.
    indices: `[N]` int64 into the listing; -1 marks a filler.
    """

    images: Tensor
    targets: Tensor
    sizes: Tensor
    original_sizes: Tensor
    indices: Tensor

    def __len__(self) -> int:
        return len(self.indices)

    def to(self, device: torch.device | str, **how: Any) -> Batch:
        return replace(self, **{name: value.to(device, **how) for name, value in vars(self).items()})

    def pin_memory(self) -> Batch:
        return replace(self, **{name: value.pin_memory() for name, value in vars(self).items()})
