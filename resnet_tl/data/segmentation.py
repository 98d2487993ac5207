"""Images with masks as LightningDataModules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Le

from resnet_tl.data.base import ImageData, OnError, check
from resnet_tl.data.images.augment import Strength
from resnet_tl.data.images.on_device import refuse_policy
from resnet_tl.data.listings.masks import MaskSet, SegmentationListing, pixel_counts
from resnet_tl.data.loading.fixed_images import FixedImages
from resnet_tl.data.masks.dataset import MaskDataset, collate_masks
from resnet_tl.data.masks.transforms import CentreCrop, ListedPairTransforms, PairTransform, RandomCrop, ResizeWhole
from resnet_tl.data.sources.mask_folder import read_mask_folder
from resnet_tl.data.sources.mask_set import in_order_of
from resnet_tl.data.sources.painted_masks import read_coco_masks, read_tool_masks
from resnet_tl.data.sources.published_masks import read_cityscapes, read_voc_masks
from resnet_tl.data.sources.tools.tool import ToolName
from resnet_tl.ranges import Factor, Fraction, ImageChannels, Pixels, checked
from resnet_tl.structures.records import Preprocessing, Sample


@checked("data")
class SegmentationData(ImageData[SegmentationListing]):
    """Images whose pixels have classes. Training sees crops, evaluation whole images.

    Args:
        images: see `ImageData`.
        image_size: height and width in pixels of training crops; one number for both.
        short: pixels of the short side to which all images are resized first; 0: they keep their size. Metrics are
            computed at that size.
        scale: smallest and largest factor on a training image's size.
        balanced: share (0...1) of the crops that are cut around a class drawn uniformly from those in the image.
        augment: strength of colour changes, on top of random crops, scales and mirroring; `none`: every epoch shows the
            same centre crop of each image, without `scale`. Of TrivialAugment (`trivial`) and RandAugment (`rand`) the
            operations that keep every pixel in its place.
        options: of `ImageData`; listed transforms replace crops and resizing, and receive image and mask. Their
            `fill_mask` is a value of the mask files; without it, what they fill in is ignored.
    """

    varying = ("val",)
    collate = staticmethod(collate_masks)

    def __init__(
        self,
        images: MaskSet,
        *,
        image_size: Pixels | tuple[Pixels, Pixels] = 512,
        short: Annotated[int, Ge(0), Le(16384)] = 0,
        scale: tuple[Factor, Factor] = (0.5, 2.0),
        balanced: Fraction = 0.5,
        augment: Strength = "light",
        **options: Any,
    ) -> None:
        sides = tuple(image_size) if isinstance(image_size, Sequence) else (image_size, image_size)
        check(scale[0] <= scale[1], f"data.scale is {list(scale)}; expected the smaller factor first")
        super().__init__(images, **options)
        refuse_policy(self.on_device, augment)
        self.image_size: tuple[int, int] = (sides[0], sides[1])
        self.short, self.scale, self.balanced, self.augment = short, tuple(scale), balanced, augment
        self.colours, self.pixels, self.coding = images.colours, images.pixels, images.coding
        if self.shots is not None:
            few = self._listing("train")
            counts = [pixel_counts(few.mask(index)) for index in range(len(few))]
            self.pixels = np.sum(counts, 0)[: len(self.classes)]

    def evaluation_preprocessing(self, expected: Preprocessing) -> Preprocessing:
        return replace(expected, size=self.short, crop=1.0, interpolation=self.interpolation)

    @staticmethod
    def options_of(preprocessing: Preprocessing) -> dict[str, Any]:
        return {**ImageData.options_of(preprocessing), "short": preprocessing.size}

    def class_counts(self) -> np.ndarray:
        return self.pixels

    def augments(self) -> str | None:
        """Returns the setting that makes training images differ between epochs, if any."""
        if self.train_transforms is not None:
            return "data.train_transforms"
        return None if self.augment == "none" else "random cropping"

    def fixed_images(self, split: Literal["train", "val"]) -> FixedImages:
        settings = ["image_size", "scale", "balanced", "augment"] if split == "train" else []
        listing = self._listing("train") if split == "train" else self.evaluated("val")
        return self._fixed_images(split, ["short", *settings], **listing.cache_key())

    def _files(self, sample: Sample) -> Iterator[tuple[str, str]]:
        yield sample.key, sample.path
        if isinstance(sample.target, str):
            yield f"{sample.key} mask", sample.target

    def _dataset(self, listing: SegmentationListing, training: bool, on_error: OnError) -> MaskDataset:
        transform = self._training_transform() if training else self._evaluation_transform()
        return MaskDataset(listing, transform, channels=self.channels, seed=self.seed, on_error=on_error)

    def _training_transform(self) -> PairTransform:
        if self.train_transforms is not None:
            return ListedPairTransforms(self.train_transforms, self.image_size, "data.train_transforms", self.coding)
        if self.augment == "none":
            return CentreCrop(self.image_size, self.short, self.interpolation)
        scale = (self.scale[0], self.scale[1])
        return RandomCrop(self.image_size, scale, self.short, self.balanced, self.augment, self.interpolation)

    def _evaluation_transform(self) -> PairTransform:
        if self.eval_transforms is not None:
            return ListedPairTransforms(self.eval_transforms, None, "data.eval_transforms", self.coding)
        return ResizeWhole(self.short, self.interpolation)


@checked("data")
class MaskFolder(SegmentationData):
    """Images and a mask file for each, paired by name: `root/{train,val,test}/{images,masks}/`, `root/{images,masks}/`,
    `train_images/` and `train_masks/`, `images/training/` and `annotations/training/`, or by globs.

    Args:
        root: that folder, or a zip of it.
        class_file: class names, one per line, or a CSV of id, name, colour; None: `classes.txt` or `classes.csv` in
            `root`, or else the values found. The colours of the CSV decode RGB masks.
        images: a glob of the images below `root`, `rgb/*/*.jpg`; None: found by the names of folders.
        masks: a glob of the masks with as many wildcards, `seg/*/*_mask.png`: an image and its mask match them with the
            same text.
        ignore: pixel values that are ignored; a line of the class file with such an id is not a class. None: 255,
            unless the masks hold 0 and 255 alone, or the class file names it other than `void` or `ignore`.
        classes: class names of a checkpoint, which must include the set's; None: the set's own.
        options: of `SegmentationData`.
    """

    def __init__(
        self,
        root: str,
        *,
        class_file: str | None = None,
        images: str | None = None,
        masks: str | None = None,
        ignore: tuple[Annotated[int, Ge(0), Le(65535)], ...] | None = None,
        classes: list[str] | None = None,
        channels: ImageChannels = 3,
        **options: Any,
    ) -> None:
        found = read_mask_folder(root, class_file, ignore, channels, images=images, masks=masks, known=classes)
        super().__init__(_with_classes(found, classes), channels=channels, **options)


class PascalVOC(SegmentationData):
    """Pascal VOC's segmentation set, `root/{JPEGImages,SegmentationClass,ImageSets/Segmentation}`.

    Args:
        root: the folder of a year, `VOCdevkit/VOC2012`.
        classes: class names of a checkpoint, which the set's must equal; None: the set's own.
        options: of `SegmentationData`.
    """

    def __init__(
        self,
        root: str,
        *,
        classes: list[str] | None = None,
        channels: ImageChannels = 3,
        **options: Any,
    ) -> None:
        super().__init__(_with_classes(read_voc_masks(root, channels), classes), channels=channels, **options)


class Cityscapes(SegmentationData):
    """Cityscapes' fine annotations, `root/{leftImg8bit,gtFine}/{train,val}/<city>/`; the 19 scored classes.

    Args:
        root: that folder.
        classes: class names of a checkpoint, which the set's must equal; None: the set's own.
        options: of `SegmentationData`.
    """

    def __init__(
        self,
        root: str,
        *,
        classes: list[str] | None = None,
        channels: ImageChannels = 3,
        **options: Any,
    ) -> None:
        super().__init__(_with_classes(read_cityscapes(root, channels), classes), channels=channels, **options)


class CocoSegmentation(SegmentationData):
    """COCO's format, its polygons and run lengths painted: the background, then the categories in the order of their
    ids. Small objects are painted over large ones; crowds are ignored.

    Args:
        root: the folder of images and json files.
        annotations: the json of each split below `root`, `{train: a.json, val: b.json}`; None: found by their names.
        images: the folder below `root` that file names are relative to; None: found.
        classes: class names of a checkpoint, which the set's must equal; None: the set's own.
        keep_empty_classes: give the network an output for classes without an object in any split, too.
        options: of `SegmentationData`.
    """

    def __init__(
        self,
        root: str,
        *,
        annotations: dict[str, str] | None = None,
        images: str | None = None,
        classes: list[str] | None = None,
        keep_empty_classes: bool = False,
        channels: ImageChannels = 3,
        **options: Any,
    ) -> None:
        found = read_coco_masks(root, annotations, images, classes, channels, keep_empty=keep_empty_classes)
        super().__init__(found, channels=channels, **options)


class ToolSegmentation(SegmentationData):
    """Exports of annotation tools with polygons or masks (labelme, VGG Image Annotator, Label Studio, CVAT for images
    1.1, Supervisely), painted: the background, then the labels, sorted. Small objects are painted over large ones.

    Args:
        root: the folder or zip of the images and the export.
        tool: whose export it is; None: found by what the files hold.
        classes: class names of a checkpoint, which the set's must equal; None: the set's own.
        keep_empty_classes: give the network an output for classes without an object in any split, too.
        options: of `SegmentationData`.
    """

    def __init__(
        self,
        root: str,
        *,
        tool: ToolName | None = None,
        classes: list[str] | None = None,
        keep_empty_classes: bool = False,
        channels: ImageChannels = 3,
        **options: Any,
    ) -> None:
        found = read_tool_masks(root, tool, classes, channels, keep_empty=keep_empty_classes)
        super().__init__(found, channels=channels, **options)


def _with_classes(images: MaskSet, classes: list[str] | None) -> MaskSet:
    return images if classes is None else in_order_of(images, classes)
