"""Batches whose images are made on the device: what workers send with `data.augment_on: device`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from resnet_tl.data.images.bit_depth import to_common_depth
from resnet_tl.data.images.decode import ImageArray
from resnet_tl.data.images.deferred import Deferred, Jpeg, Step
from resnet_tl.data.images.device_colours import Colours, change_colours
from resnet_tl.data.images.device_decode import decode_jpegs
from resnet_tl.data.images.device_steps import change_shape
from resnet_tl.data.images.device_tensors import to_bytes, upload
from resnet_tl.structures.records import Batch


class Recorded(NamedTuple):
    """An image made of `data[start:stop]`: of the pixels of an image (h, w, channels), or of a JPEG file."""

    start: int
    stop: int
    source: tuple[int, ...] | Jpeg
    steps: tuple[Step, ...]
    colours: Colours


@dataclass
class PendingBatch:
    """Becomes a `Batch` when it is moved to a device.

    data: `[B]` uint8: decoded images, then JPEG files.
    pixels: how many of these bytes belong to decoded images; the others stay on the CPU.
    recorded: how the N images are made.
    shape: (h, w, channels) of the batch's images, which are in the upper left corner of black ones.
    rest: the other fields of the batch.
    """

    data: Tensor
    pixels: int
    recorded: list[Recorded]
    shape: tuple[int, int, int]
    rest: dict[str, Any]

    def __len__(self) -> int:
        return len(self.recorded)

    def pin_memory(self) -> PendingBatch:
        rest = {name: value.pin_memory() for name, value in self.rest.items()}
        return replace(self, data=self.data.pin_memory(), rest=rest)

    @torch.no_grad()
    def to(self, device: torch.device | str, **options: Any) -> Batch:
        """Decodes, crops, resizes and augments the images on `device`."""
        rest = {name: value.to(device, **options) for name, value in self.rest.items()}
        images = self._sources(self.data[: self.pixels].to(device, **options), torch.device(device))
        images = [change_shape(image, each.steps) for image, each in zip(images, self.recorded, strict=True)]
        return Batch(self._coloured(images), **rest)

    def _sources(self, pixels: Tensor, device: torch.device) -> list[Tensor]:
        """Returns the N decoded images `[C, h, w]` on the device."""
        of_files = [each for each in self.recorded if isinstance(each.source, Jpeg)]
        headers = [cast(Jpeg, each.source) for each in of_files]
        files = [self.data[each.start : each.stop] for each in of_files]
        decoded = iter(decode_jpegs(headers, files, self.shape[2], device) if files else [])
        return [
            next(decoded)
            if isinstance(each.source, Jpeg)
            else pixels[each.start : each.stop].view(each.source).permute(2, 0, 1)
            for each in self.recorded
        ]

    def _coloured(self, images: Sequence[Tensor]) -> Tensor:
        """Returns the batch's images `[N, C, H, W]`, channels-last; those of one size are changed together."""
        height, width, channels = self.shape
        batch = torch.zeros(len(images), height, width, channels, dtype=torch.uint8, device=images[0].device)
        batch = batch.permute(0, 3, 1, 2)
        for size in dict.fromkeys(image.shape for image in images):
            chosen = [number for number, image in enumerate(images) if image.shape == size]
            together = to_bytes(torch.stack([images[number].float() for number in chosen]))
            together = change_colours(together, [self.recorded[number].colours for number in chosen])
            index = upload(chosen, batch.device, torch.int64) if len(chosen) < len(images) else slice(None)
            batch[index, :, : size[1], : size[2]] = together
        return batch


def join_images(views: Sequence[ImageArray], size: tuple[int, int], **rest: Any) -> Batch:
    """Collates single views `[1, h, w, C]` of any sizes into a `Batch` of (H, W) = `size`, each in the upper left
    corner of a black image; of `Deferred` ones, which are views as they are, what becomes it on the device.

    rest: the other fields of the batch.
    """
    if isinstance(views[0], Deferred):
        return _pending(cast("Sequence[Deferred]", views), size, rest)
    views = to_common_depth(views)
    images = np.zeros((len(views), *size, views[0].shape[3]), views[0].dtype)
    for image, view in zip(images, views, strict=True):
        image[: view.shape[1], : view.shape[2]] = view[0]
    return Batch(torch.from_numpy(images).permute(0, 3, 1, 2), **rest)


def _pending(images: Sequence[Deferred], size: tuple[int, int], rest: dict[str, Any]) -> Batch:
    sources = [image.source for image in images]
    lengths = [len(source.data) if isinstance(source, Jpeg) else source.size for source in sources]
    is_file = [isinstance(source, Jpeg) for source in sources]
    data, start = np.empty(sum(lengths), np.uint8), 0
    starts = [0] * len(images)
    for number in sorted(range(len(images)), key=is_file.__getitem__):  # pixels come first
        source, starts[number] = sources[number], start
        flat = np.frombuffer(source.data, np.uint8) if isinstance(source, Jpeg) else source.reshape(-1)
        data[start : start + lengths[number]] = flat
        start += lengths[number]
    recorded = [
        Recorded(
            start,
            start + length,
            image.source._replace(data=b"") if isinstance(image.source, Jpeg) else image.source.shape,
            image.steps,
            image.colours,
        )
        for start, length, image in zip(starts, lengths, images, strict=True)
    ]
    pixels = sum(length for length, file in zip(lengths, is_file, strict=True) if not file)
    pending = PendingBatch(torch.from_numpy(data), pixels, recorded, (*size, images[0].shape[2]), rest)
    return cast(Batch, pending)
