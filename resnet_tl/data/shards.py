"""Packed sets as LightningDataModules: images, order and augmentation of the data class that was packed; and tars."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Gt

from resnet_tl.data.classification import ClassificationData
from resnet_tl.data.detection import DetectionData
from resnet_tl.data.images.archive import open_archive
from resnet_tl.data.images.cache import cache_folder
from resnet_tl.data.images.shards import WINDOW, ShardFiles
from resnet_tl.data.listings.listing import Listing
from resnet_tl.data.loading.ahead import Ahead
from resnet_tl.data.loading.samplers import TrainSampler
from resnet_tl.data.regression import RegressionData
from resnet_tl.data.segmentation import SegmentationData
from resnet_tl.data.sources.shards import read_shards
from resnet_tl.data.sources.web_dataset import read_tars
from resnet_tl.ranges import checked

_Base: Any = object
"""In truth the data modules below."""
Gigabytes = Annotated[float, Gt(0)]
"""Of 10^9 bytes."""


@checked("data")
class _InShards(_Base):
    """Images that `resnet-tl data pack` has packed into shards.

    Shards are read one after another where there are more of them than an epoch mixes: a set of at most `WINDOW` shards
    is drawn in the order of the files that it was packed from.

    Args:
        root: the folder of the shards, or its address, as `s3://bucket/photos`.
        cache_gb: GB (10^9 bytes) of shards of an address that may lie in `cache_dir`; the least recently opened ones
            make room for others.
        classes: class names of a checkpoint, which must include the set's; None: the set's own.
        options: of the data module.
    """

    packed: ClassVar[str]

    def __init__(
        self,
        root: str,
        *,
        cache_gb: Gigabytes = 50.0,
        classes: list[str] | None = None,
        group: str | None = None,
        cache_dir: str | None = None,
        **options: Any,
    ) -> None:
        found = read_shards(root, self.packed, classes, cache_folder(cache_dir), cache_gb, group)
        super().__init__(found, group=group, cache_dir=cache_dir, **options)

    def _loader(self, listing: Any, training: bool, sampler: Any, **options: Any) -> Any:
        files, shards = _files_of(listing), _shards_of(listing)
        if isinstance(sampler, TrainSampler) and _are_many(shards):
            sampler.shards, sampler.window = shards, WINDOW
        if files.cache is not None:
            sampler.watched = Ahead(files.fetch, shards)
        return super()._loader(listing, training, sampler, **options)

    def _evaluation_order(self, listing: Any) -> Any:
        order, shards = super()._evaluation_order(listing), _shards_of(listing)
        if not _are_many(shards):
            return order
        order = np.arange(len(listing)) if order is None else order
        return order[np.argsort(shards[order] // WINDOW, kind="stable")]


class Shards(_InShards, ClassificationData):
    """Images with classes that `resnet-tl data pack` has packed into shards."""

    packed = "classification"


@checked("data")
class WebDataset(_InShards, ClassificationData):
    """Images with classes in tars as the WebDataset library writes them, `0001.jpg` and `0001.cls`, read in place.

    All tars are read once to list them; after that they are the shards of a packed set, see `Shards`.

    Args:
        root: a folder of tars, or `DIR/train-{000000..000099}.tar`, or an address of either; `{train,val}` and `*` are
            expanded, too. A tar with the word `val`, `validation` or `test` in its path is of that split.
        label: the ending of the files that hold the classes, as `cls` or `txt`, or `json.FIELD`.
        class_names: a text file with the name of a class in each line, where the tars have numbers, counted from 0;
            None: the numbers are the names.
        cache_gb, classes: as of `Shards`.
        options: of `ClassificationData`.
    """

    def __init__(
        self,
        root: str,
        *,
        label: str = "cls",
        class_names: str | None = None,
        cache_gb: Gigabytes = 50.0,
        classes: list[str] | None = None,
        cache_dir: str | None = None,
        **options: Any,
    ) -> None:
        images = read_tars(root, label, class_names, classes, cache_folder(cache_dir), cache_gb)
        super(_InShards, self).__init__(images, cache_dir=cache_dir, **options)


class DetectionShards(_InShards, DetectionData):
    """Images with objects that `resnet-tl data pack` has packed into shards."""

    packed = "detection"


class SegmentationShards(_InShards, SegmentationData):
    """Images with masks that `resnet-tl data pack` has packed into shards."""

    packed = "segmentation"


class RegressionShards(_InShards, RegressionData):
    """Images with numbers that `resnet-tl data pack` has packed into shards; `classes` are their names."""

    packed = "regression"


def _files_of(listing: Listing) -> ShardFiles:
    files = open_archive(listing.root)
    assert isinstance(files, ShardFiles), "the listing of a packed set has its index as root"
    return files


def _shards_of(listing: Listing) -> np.ndarray:
    """Returns the shard of each image, `[N]`."""
    return _files_of(listing).shards_of(map(listing.key, range(len(listing))))


def _are_many(shards: np.ndarray) -> bool:
    """Whether images lie in more shards than an epoch mixes. shards `[N]`: of each image."""
    return len(np.unique(shards)) > WINDOW
