"""The records that packages exchange: levels, samples, batches, features, boxes, detections.

Letters in shapes: N images in a batch, C channels, H height, W width, K classes, V views of one image.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from torch import Tensor

    from resnet_tl.structures.masks import Mask

Target: TypeAlias = "int | tuple[int, ...] | tuple[float, ...] | str"
"""A class index (multi-class), the indices of all true classes, possibly none (multi-label), the numbers of an image
(regression), or the path of a mask."""

Code: TypeAlias = "int | str"
"""A set's own id of a class, as its annotations have it."""

Interpolation: TypeAlias = Literal["bilinear", "bicubic", "nearest"]
"""Of a resize."""

IGNORE = 255
"""The value of mask pixels that no loss and no metric counts."""


class Level(NamedTuple):
    """A named feature map of a trunk or neck: its channels, and its stride in input pixels per cell."""

    name: str
    channels: int
    stride: int


@dataclass(frozen=True)
class Preprocessing:
    """The preprocessing that weights expect: resize the short side to `size / crop` pixels, crop the centre
    `size` x `size`, scale to 0...1, subtract `mean`, divide by `std` (one value per channel).

    max_size: upper limit of the long side in pixels, for detection, which resizes whole images; None: no limit.
    """

    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    size: int = 224
    interpolation: str = "bilinear"
    crop: float = 0.875
    max_size: int | None = None


class Sample(NamedTuple):
    """One entry of a listing. `key` is stable: an image has the same key on every machine and in every fold."""

    path: str
    target: Target
    key: str


class Draw(NamedTuple):
    """An item of a sampler: sample `index` in `epoch`, drawn for the `repeat`-th time within the epoch (from 0).

    `index` -1 is a filler that completes an evaluation batch: it passes through the network and counts nowhere.
    """

    epoch: int
    index: int  # type: ignore[assignment]  # shadows the method `tuple.index`, which nobody calls on a draw
    repeat: int = 0


@dataclass(frozen=True)
class Features:
    """The output of a network's first stages for images `[N, C, H, W]`.

    maps: `{level: [N, C', H', W']}`, every map that later stages read.
    input_size: (h, w) of the images, in pixels.
    after: the last stage that has run.
    """

    maps: dict[str, Tensor]
    input_size: tuple[int, int]
    after: str

    def to(self, device: torch.device | str, **options: Any) -> Features:
        return replace(self, maps={level: value.to(device, **options) for level, value in self.maps.items()})

    def pin_memory(self) -> Features:
        return replace(self, maps={level: value.pin_memory() for level, value in self.maps.items()})

    def record_stream(self, stream: torch.Stream) -> None:
        for value in self.maps.values():
            value.record_stream(stream)

    def images(self, start: int, stop: int) -> Features:
        """Selects the images from `start` up to, without, `stop`."""
        return replace(self, maps={level: value[start:stop] for level, value in self.maps.items()})

    def split(self, lengths: Sequence[int]) -> list[Features]:
        """Splits along the images, into views of the same memory."""
        parts = zip(*(value.split(list(lengths)) for value in self.maps.values()), strict=True)
        return [Features(dict(zip(self.maps, maps, strict=True)), self.input_size, self.after) for maps in parts]


@dataclass
class Unlabelled:
    """Images without targets beside those of a training batch.

    images: `[U, C, H, W]`, as the batch's.
    share: U per image of the whole batch; of a micro-batch, that of the batch that it is a part of.
    """

    images: Tensor
    share: float

    def to(self, device: torch.device | str, **options: Any) -> Unlabelled:
        return replace(self, images=self.images.to(device, **options))

    def pin_memory(self) -> Unlabelled:
        return replace(self, images=self.images.pin_memory())

    def record_stream(self, stream: torch.Stream) -> None:
        self.images.record_stream(stream)


@dataclass
class Batch:
    """A batch of images with their targets.

    images: uint8 (0...255) or uint16 (0...65535), `[N*V, C, H, W]`, channels-last, the V views of an image adjacent;
        or the cached features of these images.
    targets: class indices `[N]` int64, multi-hot `[N, K]` float32, numbers `[N, T]` float32, class indices of pixels
        `[N, H, W]` uint8; or `Boxes`.
    sizes, original_sizes: `[N, 2]` int64, (h, w) in pixels before padding, and of the file after EXIF rotation.
    indices: `[N]` int64 into the listing; -1 marks a filler.
    unlabelled: of a training batch, images without targets beside these; None: there are none.
    """

    images: Tensor | Features
    targets: Any
    sizes: Tensor
    original_sizes: Tensor
    indices: Tensor
    unlabelled: Unlabelled | None = None

    def __len__(self) -> int:
        return len(self.indices)

    def to(self, device: torch.device | str, **options: Any) -> Batch:
        return replace(self, **{name: value.to(device, **options) for name, value in self._present().items()})

    def pin_memory(self) -> Batch:
        return replace(self, **{name: value.pin_memory() for name, value in self._present().items()})

    def record_stream(self, stream: torch.Stream) -> None:
        """Keeps the memory of its tensors until what `stream` has been given so far is done."""
        for value in self._present().values():
            value.record_stream(stream)

    def _present(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if value is not None}

    def split(self, lengths: Sequence[int]) -> list[Batch]:
        """Splits into batches of so many images, views of the same memory. Not for `Boxes`."""
        views = len(next(iter(self.images.maps.values())) if isinstance(self.images, Features) else self.images)
        views //= len(self)
        images = self.images.split([length * views for length in lengths])
        others = (self.targets, self.sizes, self.original_sizes, self.indices)
        return [Batch(*parts) for parts in zip(images, *(value.split(list(lengths)) for value in others), strict=True)]


@dataclass
class Boxes:
    """The objects of a batch, in one flat list, grouped by image in the order of the batch.

    boxes: `[M, 4]` float32 x1, y1, x2, y2 on pixel edges of the batch's images: 0 <= x1 < x2 <= w.
    labels: `[M]` int64, class indices; 0 is a class.
    image: `[M]` int64, the image's position in the batch, ascending. Images without objects do not appear.
    crowd: `[M]` bool, a region of many objects: not a target, and detections inside it are not errors.
    area: `[M]` float32, of the object in square pixels (of its mask if it has one); COCO's metrics group by it.
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

    def to(self, device: torch.device | str, **options: Any) -> Boxes:
        """Moves the tensors; masks are not tensors yet and stay where they are."""
        return replace(self, **{name: value.to(device, **options) for name, value in self._tensors().items()})

    def pin_memory(self) -> Boxes:
        return replace(self, **{name: value.pin_memory() for name, value in self._tensors().items()})

    def record_stream(self, stream: torch.Stream) -> None:
        for value in self._tensors().values():
            value.record_stream(stream)

    def where(self, chosen: Tensor) -> Boxes:
        """Selects the objects for which `chosen` `[M]` is True."""
        masks = self.masks and [mask for mask, keep in zip(self.masks, chosen.tolist(), strict=True) if keep]
        return Boxes(**{name: value[chosen] for name, value in self._tensors().items()}, masks=masks)

    def objects(self) -> Boxes:
        """Selects the single objects, without crowds."""
        return self.where(~self.crowd)

    def images(self, start: int, stop: int) -> Boxes:
        """Selects the objects of the images from `start` up to, without, `stop`, which are numbered from 0."""
        chosen = self.where((self.image >= start) & (self.image < stop))
        return replace(chosen, image=chosen.image - start)

    def split(self, images: int) -> list[Boxes]:
        """Splits the batch into one `Boxes` for each of its `images`; `image` keeps the positions in the batch."""
        return [self.where(self.image == index) for index in range(images)]

    @staticmethod
    def join(each: Sequence[Boxes]) -> Boxes:
        """Joins the images' boxes to a batch: numbers `image` again, and keeps masks only if all images have them."""
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
    """The predictions of a detector, best first; images with fewer than D objects are padded with score 0, label -1.

    boxes: `[N, D, 4]` float32 in pixels of the batch's images. scores: `[N, D]`, 0...1. labels: `[N, D]` int64.
    masks: `[N, D, S, S]` probabilities 0...1 over each box, or None.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    masks: Tensor | None = None

    def image(self, number: int) -> Detections:
        """Selects one image of the batch, as a batch."""
        one = slice(number, number + 1)
        masks = None if self.masks is None else self.masks[one]
        return Detections(self.boxes[one], self.scores[one], self.labels[one], masks)
