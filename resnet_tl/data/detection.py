"""Images with objects, boxes or masks, as LightningDataModules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Le

from resnet_tl.data.base import ImageData, OnError, check
from resnet_tl.data.boxes.composites import MosaicAndPaste
from resnet_tl.data.boxes.dataset import BoxDataset, as_boxes, collate_boxes
from resnet_tl.data.boxes.transforms import LargeScaleJitter, ListedSceneTransforms, ResizeWhole, SceneTransform
from resnet_tl.data.images.augment import Strength
from resnet_tl.data.images.on_device import refuse, refuse_policy
from resnet_tl.data.images.resize import resized_size
from resnet_tl.data.listings.boxes import BoxListing, BoxSet
from resnet_tl.data.listings.objects import NO_OBJECTS
from resnet_tl.data.loading.fixed_images import FixedImages
from resnet_tl.data.sources.box_table import read_box_table
from resnet_tl.data.sources.coco import read_coco
from resnet_tl.data.sources.tools.export import read_tool_export
from resnet_tl.data.sources.tools.tool import ToolName
from resnet_tl.data.sources.voc import read_voc_boxes
from resnet_tl.data.sources.yolo import read_yolo
from resnet_tl.ranges import Factor, Fraction, ImageChannels, Pixels, checked
from resnet_tl.structures.records import Boxes, Preprocessing


@checked("data")
class DetectionData(ImageData[BoxListing]):
    """Images with objects. They keep their aspect ratio; evaluation sees whole images.

    Args:
        images: see `ImageData`.
        image_size: pixels of the short side to which all images are resized.
        max_size: limit of the long side in pixels; None: 5/3 of the short side, as in 800 and 1333.
        scale: smallest and largest factor on a training image's size; what exceeds the usual size is cropped.
        augment: strength of colour changes; `none` also turns mirroring off. Of TrivialAugment (`trivial`) and
            RandAugment (`rand`) the operations that keep every pixel in its place.
        mosaic: share (0...1) of the training images that are composed of four.
        copy_paste: share of the training images into which objects of another one are pasted, by their masks.
        grouped: batch images of similar aspect ratio together, which needs less padding.
        options: of `ImageData`. Listed training transforms replace all of these, and receive boxes and masks.

    Attributes:
        codes: the set's own category id of each class.
    """

    collate = staticmethod(collate_boxes)

    def __init__(
        self,
        images: BoxSet,
        *,
        image_size: Pixels = 800,
        max_size: Annotated[int, Ge(1), Le(32768)] | None = None,
        scale: tuple[Factor, Factor] = (1.0, 1.0),
        augment: Strength = "light",
        mosaic: Fraction = 0.0,
        copy_paste: Fraction = 0.0,
        grouped: bool = True,
        **options: Any,
    ) -> None:
        longest = image_size * 5 // 3 if max_size is None else max_size
        check(longest >= image_size, f"data.max_size is {longest}; expected data.image_size {image_size} or more")
        check(scale[0] <= scale[1], f"data.scale is {list(scale)}; expected the smaller factor first")
        has_masks = all(listing.has_masks for listing in images.splits.values())
        check(
            has_masks or not copy_paste or bool(images.faults),  # faults are reported first
            f"data.copy_paste is {copy_paste}, but the objects of {images.root} have no masks",
        )
        super().__init__(images, **options)
        for listing in self.listings.values():  # sources have skipped such boxes; a listing of one's own may have them
            listing.check_boxes()
        check(
            self.eval_transforms is None,
            "data.eval_transforms: detection evaluates whole images, of data.image_size and data.max_size; remove it",
        )
        self.image_size, self.max_size, self.scale, self.augment = image_size, longest, tuple(scale), augment
        self.training_size = image_size
        self.mosaic, self.copy_paste, self.grouped, self.codes = mosaic, copy_paste, grouped, images.codes
        refuse_policy(self.on_device, augment)
        if composed := self.composes():
            check(self.train_transforms is None, f"data.train_transforms replace {composed}; remove one of the two")
            refuse(self.on_device, composed, "which composes images of several")

    def evaluation_preprocessing(self, expected: Preprocessing) -> Preprocessing:
        return replace(
            expected, size=self.image_size, max_size=self.max_size, crop=1.0, interpolation=self.interpolation
        )

    @staticmethod
    def options_of(preprocessing: Preprocessing) -> dict[str, Any]:
        return {
            **ImageData.options_of(preprocessing),
            "image_size": preprocessing.size,
            "max_size": preprocessing.max_size,
        }

    def use_image_size(self, size: int | None) -> None:
        """Makes training images of `size` from the next epoch on, and of `max_size` in proportion; None: of
        `image_size`."""
        if (size or self.image_size) != self.training_size:
            self.training_size = size or self.image_size
            self._renew_training_images()

    def truth(self, split: Literal["val", "test"], indices: Sequence[int]) -> Boxes:
        """Returns the annotated objects of these images in pixels of the upright files, which metrics compare with.

        (A batch's targets are in pixels of the resized images.) Index -1 is an image without objects.
        """
        listing = self.evaluated(split)
        return Boxes.join([as_boxes(listing.objects(index) if index >= 0 else NO_OBJECTS) for index in indices])

    def class_counts(self) -> np.ndarray:
        """Returns the number of training objects of each class: `[K]` int64."""
        return self._listing("train").class_counts(len(self.classes))

    def composes(self) -> str | None:
        """Returns the setting that composes training images of several, if any."""
        return next((f"data.{name}" for name in ("mosaic", "copy_paste") if getattr(self, name)), None)

    def augments(self) -> str | None:
        """Returns the setting that makes training images differ between epochs, if any."""
        if self.train_transforms is not None:
            return "data.train_transforms"
        if self.scale != (1.0, 1.0):
            return "data.scale"
        return None if self.augment == "none" else "random mirroring"

    def fixed_images(self, split: Literal["train", "val"]) -> FixedImages:
        if split == "val":
            return self._fixed_images(split, ["image_size", "max_size"])
        settings = ["image_size", "training_size", "max_size", "scale", "augment"]
        return self._fixed_images(split, settings, **self._listing("train").cache_key())

    def _dataset(self, listing: BoxListing, training: bool, on_error: OnError) -> BoxDataset:
        transform = self._training_transform() if training else self._evaluation_transform()
        return BoxDataset(listing, transform, channels=self.channels, seed=self.seed, on_error=on_error)

    def _groups(self, listing: BoxListing) -> np.ndarray | None:
        """Groups by aspect ratio: square, 4:3 and 3:2, 16:9 ... and the same in portrait."""
        height, width = listing.sizes.astype(float).T
        return np.round(2 * np.log2(width / height)).astype(int) if self.grouped else None

    def _evaluation_order(self, listing: BoxListing) -> np.ndarray:
        """Sorts by the resized size, by which evaluation splits its batches."""
        sizes = [resized_size(h, w, self.image_size, self.max_size) for h, w in listing.sizes.tolist()]
        return np.lexsort(np.array(sizes).reshape(-1, 2).T)

    def _training_transform(self) -> SceneTransform:
        if self.train_transforms is not None:
            return ListedSceneTransforms(self.train_transforms, "data.train_transforms")
        longest = round(self.max_size * self.training_size / self.image_size)
        resize = ResizeWhole(self.training_size, longest, self.interpolation, fast=True)
        jitter = LargeScaleJitter(resize, (self.scale[0], self.scale[1]), self.augment)
        return MosaicAndPaste(jitter, self.mosaic, self.copy_paste)

    def _evaluation_transform(self) -> SceneTransform:
        return ResizeWhole(self.image_size, self.max_size, self.interpolation)


class CocoDetection(DetectionData):
    """COCO's format: json files with boxes, polygons or run lengths, and a folder of images.

    Args:
        root: the folder of both.
        annotations: the json of each split below `root`, `{train: a.json, val: b.json}`; None: found by their names.
        images: the folder below `root` that file names are relative to; None: found.
        classes: class names of a checkpoint, which the set's must equal; None: the set's own, ordered by their ids.
        keep_empty_classes: give the network an output for classes without an object in any split, too.
        options: of `DetectionData`.
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
        found = read_coco(root, annotations, images, classes, channels, keep_empty=keep_empty_classes)
        super().__init__(found, channels=channels, **options)


class VOCDetection(DetectionData):
    """Pascal VOC's format: an XML file per image, in `root/{JPEGImages,Annotations,ImageSets/Main}` or next to it.

    Args:
        root: that folder.
        classes: class names of a checkpoint, which must include the set's; None: the set's own, sorted.
        keep_empty_classes: give the network an output for classes without an object in any split, too.
        options: of `DetectionData`.
    """

    def __init__(
        self,
        root: str,
        *,
        classes: list[str] | None = None,
        keep_empty_classes: bool = False,
        channels: ImageChannels = 3,
        **options: Any,
    ) -> None:
        found = read_voc_boxes(root, classes, channels, keep_empty=keep_empty_classes)
        super().__init__(found, channels=channels, **options)


class YoloDetection(DetectionData):
    """YOLO's format: a text file of boxes or polygons per image, and `data.yaml` or `classes.txt` with the class names.

    Args:
        root: the folder of `images` and `labels`.
        data: the YAML below `root`; None: found.
        classes: class names of a checkpoint, which the set's must equal; None: the set's own, in their order.
        keep_empty_classes: give the network an output for classes without an object in any split, too.
        options: of `DetectionData`.
    """

    def __init__(
        self,
        root: str,
        *,
        data: str | None = None,
        classes: list[str] | None = None,
        keep_empty_classes: bool = False,
        channels: ImageChannels = 3,
        **options: Any,
    ) -> None:
        found = read_yolo(root, data, classes, channels, keep_empty=keep_empty_classes)
        super().__init__(found, channels=channels, **options)


class BoxTable(DetectionData):
    """Boxes in a CSV with the columns path, label, x1, y1, x2, y2 and optionally split, width, height; OpenImages' CSV.

    Args:
        csv: path of that file, or of a folder with one for each split.
        root: folder or zip that its paths are relative to; None: the folder of the CSV.
        columns: of a file without a header, in their order, as `[path, x1, y1, x2, y2, label]`.
        classes: class names of a checkpoint, which must include the table's; None: the table's own, sorted.
        keep_empty_classes: give the network an output for classes without an object in any split, too.
        options: of `DetectionData`.
    """

    def __init__(
        self,
        csv: str,
        root: str | None = None,
        *,
        columns: list[str] | None = None,
        classes: list[str] | None = None,
        keep_empty_classes: bool = False,
        channels: ImageChannels = 3,
        group: str | None = None,
        **options: Any,
    ) -> None:
        found = read_box_table(
            csv, root, classes, channels, columns=columns, keep_empty=keep_empty_classes, group=group
        )
        super().__init__(found, channels=channels, group=group, **options)


class ToolDetection(DetectionData):
    """Exports of annotation tools: labelme, VGG Image Annotator, Label Studio (JSON), CVAT for images 1.1, Supervisely.

    Args:
        root: the folder or zip of the images and the export.
        tool: whose export it is; None: found by what the files hold.
        classes: class names of a checkpoint, which must include the set's; None: the set's own, sorted.
        keep_empty_classes: give the network an output for classes without an object in any split, too.
        options: of `DetectionData`.
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
        found = read_tool_export(root, tool, classes, channels, keep_empty=keep_empty_classes)
        super().__init__(found, channels=channels, **options)
