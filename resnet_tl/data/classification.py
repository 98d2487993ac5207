"""Images with classes as LightningDataModules, from folders and tables."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Le

from resnet_tl.data.base import ImageData, OnError
from resnet_tl.data.images.augment import Strength
from resnet_tl.data.images.cache import CacheFormat, ImageCache, cache_folder, open_cache
from resnet_tl.data.images.classification_dataset import ClassificationDataset
from resnet_tl.data.images.listed_transforms import ListedTransforms
from resnet_tl.data.images.on_device import refuse
from resnet_tl.data.images.transforms import Transform, evaluation_transform, training_transform
from resnet_tl.data.listings.listing import ClassSet, Listing
from resnet_tl.data.loading.fixed_images import FixedImages
from resnet_tl.data.loading.samplers import class_weights
from resnet_tl.data.sources.folder import read_folder
from resnet_tl.data.sources.table import Columns, read_table
from resnet_tl.ranges import Pixels, checked
from resnet_tl.structures.records import Preprocessing


@checked("data")
class ClassificationData(ImageData[Listing]):
    """Images with classes: one each, or any number.

    Args:
        images: see `ImageData`.
        image_size: height and width in pixels of the network's input.
        augment: strength of the training transforms; `train_transforms` replace them.
        crop: share of the short side that evaluation cuts from the centre; `eval_transforms` replace resize and crop.
        balanced: draw every class equally often in training.
        cache: `resized` stores decoded, resized images in one file in `cache_dir`.
        reduced_decoding: decode JPEGs at 1/2, 1/4 or 1/8 of their size where that is enough: faster, a little softer.
        crops: 10: evaluate on ten views of an image: the corners, the centre, and these mirrored.
        scales: short sides in pixels to evaluate at, each a view.
        options: of `ImageData`.
    """

    varying = ()

    def __init__(
        self,
        images: ClassSet,
        *,
        image_size: Pixels = 224,
        augment: Strength = "light",
        crop: Annotated[float, Ge(0.05), Le(1)] = 0.875,
        balanced: bool = False,
        cache: Literal["off", "resized"] = "off",
        reduced_decoding: bool = False,
        crops: Literal[1, 10] = 1,
        scales: tuple[Pixels, ...] = (),
        **options: Any,
    ) -> None:
        super().__init__(images, **options)
        if cache == "resized":
            refuse(self.on_device, "data.cache: resized", "whose images are decoded", decoding=True)
        if reduced_decoding:
            refuse(self.on_device, "data.reduced_decoding", "which nvJPEG does not know", decoding=True)
        self.multi_label = images.multi_label
        self.image_size, self.crop, self.augment = image_size, crop, augment
        self.crops, self.scales = crops, tuple(scales)
        self.balanced, self.reduced_decoding = balanced, reduced_decoding
        self.cache = cache
        self._cache: ImageCache | None = None

    def evaluation_preprocessing(self, expected: Preprocessing) -> Preprocessing:
        return replace(expected, size=self.image_size, crop=self.crop, interpolation=self.interpolation)

    @staticmethod
    def options_of(preprocessing: Preprocessing) -> dict[str, Any]:
        return {**ImageData.options_of(preprocessing), "image_size": preprocessing.size, "crop": preprocessing.crop}

    def class_counts(self) -> np.ndarray:
        """Returns how many training images show each class: `[K]` int64."""
        return self._listing("train").class_counts(len(self.classes))

    def prepare_data(self) -> None:
        """Writes the image cache if it is on: Lightning calls this in one process per machine, before all others."""
        if self.cache == "resized" and self._cache is None:
            short = max(int(self.image_size / self.crop), *self.scales, 0)
            cache_format = CacheFormat(short, self.interpolation, self.channels)
            self._cache = open_cache(self.listings.values(), cache_format, self._cache_folder)

    def augments(self) -> str | None:
        """Returns the setting that makes training images differ between epochs, if any."""
        if self.train_transforms is not None:
            return "data.train_transforms"
        return None if self.augment == "none" else f"data.augment: {self.augment}"

    def fixed_images(self, split: Literal["train", "val"]) -> FixedImages:
        settings = ["augment"] if split == "train" else ["crops", "scales"]
        return self._fixed_images(split, ["image_size", "crop", "reduced_decoding", "cache", *settings])

    def _dataset(self, listing: Listing, training: bool, on_error: OnError) -> ClassificationDataset:
        return ClassificationDataset(
            listing,
            self._training_transform() if training else self._evaluation_transform(),
            channels=self.channels,
            multi_label_classes=len(self.classes) if self.multi_label else None,
            seed=self.seed,
            on_error=on_error,
            reduce=self.reduced_decoding,
            cache=self._cache,
        )

    def _weights(self, listing: Listing) -> np.ndarray | None:
        return class_weights(listing, len(self.classes)) if self.balanced else None

    def _training_transform(self) -> Transform:
        if self.train_transforms is not None:
            return ListedTransforms(self.train_transforms, "data.train_transforms")
        return training_transform(self.augment, self.image_size, self.interpolation)

    def _evaluation_transform(self) -> Transform:
        if self.eval_transforms is not None:
            return ListedTransforms(self.eval_transforms, "data.eval_transforms")
        return evaluation_transform(self.image_size, self.crop, self.interpolation, self.crops, self.scales)


class ImageFolder(ClassificationData):
    """Images in `root/<class>/...` or `root/{train,val,test}/<class>/...`; `root` is a folder or a zip of one.

    Args:
        root: that folder or zip.
        classes: class names of a checkpoint, which the folder's must equal; None: the folder's, sorted.
        options: of `ClassificationData`.
    """

    def __init__(self, root: str, *, classes: list[str] | None = None, **options: Any) -> None:
        super().__init__(read_folder(root, classes), **options)


class ImageTable(ClassificationData):
    """Images listed in a CSV with a header, or in Parquet: columns path, label (`a|b` for several), optionally split.

    Parquet may also hold the images themselves (a column `image`), as Hugging Face's `datasets` writes it.

    Args:
        csv: path of that file, or of a folder of Parquet files whose names begin with their split.
        root: folder or zip that its paths are relative to; None: the folder of the table.
        path_column: header of the paths.
        label_column: header of the labels.
        split_column: header of train, val or test; a table without such a column is a single split.
        multi_label: whether an image may have any number of classes; None: if any label contains a `|`.
        classes: class names of a checkpoint, which the table's must equal; None: the table's, sorted.
        options: of `ClassificationData`.
    """

    def __init__(
        self,
        csv: str,
        root: str | None = None,
        *,
        path_column: str = "path",
        label_column: str = "label",
        split_column: str = "split",
        multi_label: bool | None = None,
        classes: list[str] | None = None,
        group: str | None = None,
        cache_dir: str | None = None,
        **options: Any,
    ) -> None:
        columns, cache = Columns(path_column, label_column, split_column, group or ""), cache_folder(cache_dir)
        images = read_table(csv, root, columns, multi_label=multi_label, classes=classes, cache=cache)
        super().__init__(images, group=group, cache_dir=cache_dir, **options)
