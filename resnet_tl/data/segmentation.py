"""Images with masks as LightningDataModules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from resnet_tl.data.base import ImageData, OnError, check
from resnet_tl.data.images.augment import PRESETS, Strength
from resnet_tl.data.listings.listing import Listing
from resnet_tl.data.listings.masks import MaskListing, MaskSet
from resnet_tl.data.loading.image_loader import FixedImages
from resnet_tl.data.masks.dataset import MaskDataset, collate_masks
from resnet_tl.data.masks.transforms import Centre, Listed, PairTransform, RandomCrop, Whole
from resnet_tl.data.sources.coco_masks import PaintedMaskListing, read_coco_masks
from resnet_tl.data.sources.mask_files import read_cityscapes, read_mask_folder, read_voc
from resnet_tl.errors import DataError
from resnet_tl.structures.records import Preprocessing, Sample


class SegmentationData(ImageData):
    """Images whose pixels have classes. Training sees crops, evaluation whole images.

    Args:
        images: see `ImageData`.
        image_size: height and width in pixels of training crops, one number for both.
        short: pixels of the short side to which all images are resized first; 0: they stay as they are. Scores are
            those of masks of that size.
        scale: smallest and largest factor on a training image's size.
        balanced: share (0...1) of the crops that are cut around a class drawn evenly among those of the image.
        augment: strength of changes of colour, beside random crops, scales and mirroring; `none`: every epoch shows the
            same centre of each image, at its own scale.
        options: of `ImageData`; listed transforms take the place of crops and resizing, and get image and mask.
    """

    collate = staticmethod(collate_masks)

    def __init__(
        self,
        images: MaskSet,
        *,
        image_size: int | tuple[int, int] = 512,
        short: int = 0,
        scale: tuple[float, float] = (0.5, 2.0),
        balanced: float = 0.5,
        augment: Strength = "light",
        **options: Any,
    ) -> None:
        sides = tuple(image_size) if isinstance(image_size, Sequence) else (image_size, image_size)
        check(
            len(sides) == 2 and min(sides) >= 1, f"data.image_size is {image_size}; expected a side, or [height, width]"
        )
        check(0 < scale[0] <= scale[1], f"data.scale is {list(scale)}; expected two factors above 0, the smaller first")
        check(0 <= balanced <= 1, f"data.balanced is {balanced}; expected a share from 0 to 1")
        check(short >= 0, f"data.short is {short}; expected pixels, or 0 for images as they are")
        check(augment in ("none", *PRESETS), f"data.augment is {augment!r}; expected one of none, {', '.join(PRESETS)}")
        super().__init__(images, **options)
        self.image_size: tuple[int, int] = (sides[0], sides[1])
        self.short, self.scale, self.balanced, self.augment = short, tuple(scale), balanced, augment
        self.colours, self.pixels = images.colours, images.pixels

    def evaluation_preprocessing(self, expected: Preprocessing) -> Preprocessing:
        return replace(expected, size=self.short, crop=1.0, interpolation=self.interpolation)

    def class_counts(self) -> np.ndarray:
        return self.pixels

    def _lacking(self) -> list[str]:
        return []  # the source has seen to it: a class that no mask shows is a fault

    def augments(self) -> str | None:
        """What makes training images differ from epoch to epoch, if anything does."""
        if self.train_transforms is not None:
            return "data.train_transforms"
        return None if self.augment == "none" else "random cropping"

    def fixed_images(self, split: Literal["train", "val"]) -> FixedImages:
        own = ["image_size", "scale", "balanced", "augment"] if split == "train" else []
        listing: Any = self._listing("train") if split == "train" else self._listing("val", "test")
        return self._fixed(split, ["short", *own], **listing.cache_key())

    def _files(self, sample: Sample) -> Iterator[tuple[str, str]]:
        yield sample.key, sample.path
        if isinstance(sample.target, str):
            yield f"{sample.key} mask", sample.target

    def _dataset(self, listing: Listing, training: bool, on_error: OnError) -> MaskDataset:
        assert isinstance(listing, MaskListing | PaintedMaskListing)
        transform = self._training_transform() if training else self._evaluation_transform()
        return MaskDataset(listing, transform, channels=self.channels, seed=self.seed, on_error=on_error)

    def _training_transform(self) -> PairTransform:
        if self.train_transforms is not None:
            return Listed(self.train_transforms, self.image_size, "data.train_transforms")
        if self.augment == "none":
            return Centre(self.image_size, self.short, self.interpolation)
        scale = (self.scale[0], self.scale[1])
        return RandomCrop(self.image_size, scale, self.short, self.balanced, self.augment, self.interpolation)

    def _evaluation_transform(self) -> PairTransform:
        if self.eval_transforms is not None:
            return Listed(self.eval_transforms, None, "data.eval_transforms")
        return Whole(self.short, self.interpolation)


class MaskFolder(SegmentationData):
    """Images and masks in `root/{train,val,test}/{images,masks}/`, or `root/{images,masks}/`, by equal stems.

    Args:
        root: that folder.
        class_file: names, one a line, or a CSV of id, name, colour; None: `classes.txt` or `classes.csv` in `root`.
            Masks in colours are read by those of the CSV.
        ignore: values of pixels that count nowhere; a line of the class file with such an id names no class.
        classes: a checkpoint's class names, which must be the set's; None: the set's own.
        options: of `SegmentationData`.
    """

    def __init__(
        self,
        root: str,
        *,
        class_file: str | None = None,
        ignore: tuple[int, ...] = (255,),
        classes: list[str] | None = None,
        channels: int = 3,
        **options: Any,
    ) -> None:
        images = read_mask_folder(root, class_file, ignore, channels)
        super().__init__(_known(images, classes), channels=channels, **options)


class PascalVOC(SegmentationData):
    """Pascal VOC's segmentation set, `root/{JPEGImages,SegmentationClass,ImageSets/Segmentation}`.

    Args:
        root: the folder of a year, `VOCdevkit/VOC2012`.
        classes: a checkpoint's class names, which must be the set's; None: the set's own.
        options: of `SegmentationData`.
    """

    def __init__(self, root: str, *, classes: list[str] | None = None, channels: int = 3, **options: Any) -> None:
        super().__init__(_known(read_voc(root, channels), classes), channels=channels, **options)


class Cityscapes(SegmentationData):
    """Cityscapes' fine annotations, `root/{leftImg8bit,gtFine}/{train,val}/<city>/`; the 19 scored classes.

    Args:
        root: that folder.
        classes: a checkpoint's class names, which must be the set's; None: the set's own.
        options: of `SegmentationData`.
    """

    def __init__(self, root: str, *, classes: list[str] | None = None, channels: int = 3, **options: Any) -> None:
        super().__init__(_known(read_cityscapes(root, channels), classes), channels=channels, **options)


class CocoSegmentation(SegmentationData):
    """COCO's format, its polygons and run lengths painted: the background, then the categories in the order of their
    ids. Small objects lie over large ones; what is a crowd counts nowhere.

    Args:
        root: the folder of images and json files.
        annotations: the json of each split below `root`, `{train: a.json, val: b.json}`; None: found by their names.
        images: the folder below `root` that file names start from; None: found.
        classes: a checkpoint's class names, which must be the set's; None: the set's own.
        options: of `SegmentationData`.
    """

    def __init__(
        self,
        root: str,
        *,
        annotations: dict[str, str] | None = None,
        images: str | None = None,
        classes: list[str] | None = None,
        channels: int = 3,
        **options: Any,
    ) -> None:
        super().__init__(read_coco_masks(root, annotations, images, classes, channels), channels=channels, **options)


def _known(images: MaskSet, classes: list[str] | None) -> MaskSet:
    if classes is not None and classes != images.classes:
        raise DataError(
            f"{images.root} has the classes {', '.join(images.classes)}; the checkpoint's "
            f"are {', '.join(classes)}, in this order"
        )
    return images
