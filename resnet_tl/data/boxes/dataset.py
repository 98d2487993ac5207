"""Images with objects: decoded, transformed together, padded to batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from resnet_tl.data.boxes.scenes import Scene
from resnet_tl.data.boxes.transforms import SceneTransform
from resnet_tl.data.images.dataset import CachedFeatures, ImageDataset, Item
from resnet_tl.data.images.pending import join_images
from resnet_tl.data.listings.boxes import BoxListing
from resnet_tl.data.listings.objects import NO_OBJECTS, Objects
from resnet_tl.errors import DataError
from resnet_tl.structures.padding import MULTIPLE, padded
from resnet_tl.structures.records import Batch, Boxes, Draw


class BoxDataset(ImageDataset[BoxListing]):
    """An `ImageDataset` whose targets are the objects of the image; a filler has none.

    Args:
        listing: images and objects.
        transform: (scene, seed, sampler of other scenes) -> scene.
        options: of `ImageDataset`.
    """

    def __init__(self, listing: BoxListing, transform: SceneTransform, **options: Any) -> None:
        super().__init__(listing, **options)
        self.transform = transform

    def batch_of(self, features: CachedFeatures, draws: Sequence[Draw]) -> Batch:
        """Returns features with their objects, transformed as with the cached images, over black ones."""
        maps, rest = features.take(draws)
        pairs = zip(draws, rest["indices"].tolist(), strict=True)
        targets = [as_boxes(self._objects(features.stored_draw(draw), index)) for draw, index in pairs]
        return Batch(maps, Boxes.join(targets), **rest)

    def batches_of(self, features: CachedFeatures, batches: Sequence[Sequence[Draw]]) -> Iterator[Batch]:
        """Yields `batch_of` each: boxes are not split as quickly as they are joined."""
        return (self.batch_of(features, draws) for draws in batches)

    def _load(self, draw: Draw, index: int) -> Item:
        scene = self._read(index)
        return _item(self._transformed(scene, draw, index), scene.size, index)

    def _objects(self, draw: Draw, index: int) -> Objects:
        if index < 0:
            return NO_OBJECTS
        black = np.zeros((*self.listing.size(index), self.channels), np.uint8)
        return self._transformed(Scene(black, self.listing.objects(index)), draw, index).objects

    def _transformed(self, scene: Scene, draw: Draw, index: int) -> Scene:
        return self.transform(scene, self._augmentation_seed(draw, self.listing.key(index)), self._random_scene)

    def _random_scene(self, rng: np.random.Generator) -> Scene:
        """Returns an image drawn at random, or the next that can be decoded."""
        scene = self._first_usable(int(rng.integers(len(self))), self._read)
        assert scene is not None, "training replaces images, it does not skip them"
        return scene

    def _read(self, index: int) -> Scene:
        """Returns the whole image, as it is in the file."""
        path = self.listing[index].path
        image = self._open(path)
        size = self.listing.size(index)
        if image.shape[:2] != size:
            raise DataError(
                f"{path}: is {image.shape[1]} x {image.shape[0]} pixels, but was {size[1]} x {size[0]} when the "
                "annotations were read"
            )
        return Scene(image, self.listing.objects(index))

    def _filler(self) -> Item:
        black = np.zeros((MULTIPLE, MULTIPLE, self.channels), np.uint8)
        return _item(Scene(black, NO_OBJECTS), (MULTIPLE, MULTIPLE), -1)


def collate_boxes(items: Sequence[Item]) -> Batch:
    """Collates N images of any sizes into a `Batch` whose targets are `Boxes`.

    `images` are `[N, C, H, W]`, each image in the upper left corner; H and W are the smallest multiples of 32 that fit
    all of them.
    """
    views = [item.views for item in items]
    sizes = [view.shape[-3:-1] for view in views]
    return join_images(
        views,
        (padded(max(height for height, _ in sizes)), padded(max(width for _, width in sizes))),
        targets=Boxes.join([item.target for item in items]),
        sizes=torch.tensor(sizes),
        original_sizes=torch.tensor([item.original_size for item in items]),
        indices=torch.tensor([item.row for item in items]),
    )


def _item(scene: Scene, original_size: tuple[int, int], row: int) -> Item:
    return Item(scene.image[None], as_boxes(scene.objects), original_size, row)


def as_boxes(objects: Objects) -> Boxes:
    """Converts the objects of one image to tensors."""
    boxes, labels, crowd, area = (torch.from_numpy(np.ascontiguousarray(values)) for values in objects[:4])
    return Boxes(boxes, labels, torch.zeros_like(labels), crowd, area, objects.masks)
