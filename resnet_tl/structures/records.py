"""What crosses borders between packages.

The letters: N images in a batch, C channels, H height, W width, K classes, V views of one image.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from torch import Tensor

    from resnet_tl.structures.masks import Mask

Target: TypeAlias = "int | tuple[int, ...] | str"
"""A class index (multi-class), the indices of all true classes, possibly none (multi-label), or a mask's path."""

IGNORE = 255
"""The value of mask pixels that count nowhere: not in a loss, not in a score."""


class Level(NamedTuple):
    """A named map of a trunk or neck: its channels, and the pixels of the input that one of its cells spans."""

    name: str
    channels: int
    stride: int


@dataclass(frozen=True)
class Preprocessing:
    """How weights want their images: resize the short side to `size / crop`, cut the centre `size` x `size`,
    scale to 0...1, subtract `mean`, divide by `std` (one value a channel).

    max_size: for detection, that resizes whole images: pixels that the long side has at most; None: any number.
    """

    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    size: int = 224
    interpolation: str = "bilinear"
    crop: float = 0.875
    max_size: int | None = None


class Sample(NamedTuple):
    """One line of a listing. `key` is stable: the same image has it on every machine, in every fold."""

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


@dataclass(frozen=True)
class Features:
    """What a network's first stages made of images `[N, C, H, W]`.

    maps: `{level: [N, C', H', W']}`, every map that is read behind these stages.
    input_size: (h, w) of the images.
    after: the last stage that has run.
    """

    maps: dict[str, Tensor]
    input_size: tuple[int, int]
    after: str

    def to(self, device: torch.device | str, **how: Any) -> Features:
        return replace(self, maps={level: value.to(device, **how) for level, value in self.maps.items()})

    def pin_memory(self) -> Features:
        return replace(self, maps={level: value.pin_memory() for level, value in self.maps.items()})


@dataclass
class Batch:
    """Images on their way to the device.

    images: uint8 (0...255) or uint16 (0...65535), `[N*V, C, H, W]`, channels-last, the V views of an image adjacent;
        or the kept features of as many.
    targets: class indices `[N]` int64, multi-hot `[N, K]` float32, class indices of pixels `[N, H, W]` uint8; or
        `Boxes`.
    sizes, original_sizes: `[N, 2]` int64, (h, w) before padding, and of the file after EXIF rotation.
    indices: `[N]` int64 into the listing; -1 marks a filler.
    """

    images: Tensor | Features
    targets: Any
    sizes: Tensor
    original_sizes: Tensor
    indices: Tensor

    def __len__(self) -> int:
        return len(self.indices)

    def to(self, device: torch.device | str, **how: Any) -> Batch:
        return replace(self, **{name: value.to(device, **how) for name, value in vars(self).items()})

    def pin_memory(self) -> Batch:
        return replace(self, **{name: value.pin_memory() for name, value in vars(self).items()})


@dataclass
class Boxes:
    """The objects of a batch of images, one after another, those of an image together and images in order.

    boxes: `[M, 4]` float32 x1, y1, x2, y2 on pixel edges of the batch's images: 0 <= x1 < x2 <= w.
    labels: `[M]` int64, class indices; 0 is a class.
    image: `[M]` int64, the image within the batch, ascending. An image without objects does not occur.
    crowd: `[M]` bool, a region of many objects: no target, and no mistake to find something in it.
    area: `[M]` float32, of the object in square pixels (of its mask where there is one), as COCO's scores sort by it.
    masks: M polygons or run lengths in pixels of the image, or None.
    """

    boxes: Tensor
    labels: Tensor
    image: Tensor
    crowd: Tensor
    area: Tensor
    masks: list[Mask] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device | str, **how: Any) -> Boxes:
        """The masks stay where they are: they are no tensors yet."""
        return replace(self, **{name: value.to(device, **how) for name, value in self._tensors().items()})

    def pin_memory(self) -> Boxes:
        return replace(self, **{name: value.pin_memory() for name, value in self._tensors().items()})

    def where(self, chosen: Tensor) -> Boxes:
        """Those where `chosen` `[M]` is True."""
        masks = self.masks and [mask for mask, keep in zip(self.masks, chosen.tolist(), strict=True) if keep]
        return Boxes(**{name: value[chosen] for name, value in self._tensors().items()}, masks=masks)

    def objects(self) -> Boxes:
        """All that are single objects, not crowds."""
        return self.where(~self.crowd)

    def split(self, images: int) -> list[Boxes]:
        """Those of each of the batch's `images`."""
        return [self.where(self.image == index) for index in range(images)]

    @staticmethod
    def join(each: Sequence[Boxes]) -> Boxes:
        """A batch of the images' boxes; `image` is counted anew, and masks are kept where all have them."""
        import torch

        names = ("boxes", "labels", "crowd", "area")
        joined = {name: torch.cat([getattr(boxes, name) for boxes in each]) for name in names}
        counts = torch.tensor([len(boxes) for boxes in each], device=joined["labels"].device)
        image = torch.arange(len(each), device=counts.device).repeat_interleave(counts)
        masks = [mask for boxes in each for mask in boxes.masks or []]
        return Boxes(**joined, image=image, masks=masks if len(masks) == len(image) else None)

    def _tensors(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "masks"}


class Detections(NamedTuple):
    """What a detector found, the best first; an image with fewer than D objects is filled up with score 0, label -1.

    boxes: `[N, D, 4]` float32 in pixels of the batch's images. scores: `[N, D]`, 0...1. labels: `[N, D]` int64.
    masks: `[N, D, S, S]` probabilities over each box, or None.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    masks: Tensor | None = None
