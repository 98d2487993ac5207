"""Images with classes as LightningDataModules, from folders and tables."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from resnet_tl.data.images.cache import cache_folder
from resnet_tl.data.images.classification_dataset import ClassificationDataset
from resnet_tl.data.images.transforms import Transform
from resnet_tl.data.listings.listing import ClassSet, Listing
from resnet_tl.data.listings.replayed import ReplayListing
from resnet_tl.data.listings.splits import few_shots
from resnet_tl.data.loading.samplers import class_weights
from resnet_tl.data.semi_supervised import SemiSupervisedData
from resnet_tl.data.sources.folder import read_folder
from resnet_tl.data.sources.replay import with_replay
from resnet_tl.data.sources.table import Columns, read_table
from resnet_tl.errors import RecipeError
from resnet_tl.ranges import PositiveInt, checked


@checked("data")
class ClassificationData(SemiSupervisedData):
    """Images with classes: one each, or any number.

    Args:
        images: see `ImageData`.
        balanced: draw every class equally often in training.
        replay_shots: so many images of each class of `replay`, chosen by `seed`; None: all.
        options: of `SemiSupervisedData`.

    Attributes:
        replayed: names of the classes whose images are replayed.
    """

    def __init__(
        self, images: ClassSet, *, balanced: bool = False, replay_shots: PositiveInt | None = None, **options: Any
    ) -> None:
        super().__init__(images, **options)
        self.multi_label, self.balanced = images.multi_label, balanced
        self.replayed: list[str] = []
        if images.replay is not None:
            self._replay(images.replay, replay_shots)
        elif replay_shots is not None:
            raise RecipeError(f"data.replay_shots is {replay_shots}, but there is no data.replay; expected its folder")

    def _replay(self, replay: Listing, shots: int | None) -> None:
        """Adds old images to the training images."""
        counts = replay.class_counts(len(self.classes))
        self.replayed = [self.classes[k] for k in np.flatnonzero(counts).tolist()]
        if "train" not in self.listings:  # an evaluation of other images
            return
        if shots is None:
            note = f"data.replay trains on its {len(replay)} images, too"
        else:
            replay, note = few_shots(replay, shots, self.classes, self.seed, "data.replay_shots")
        self.notes.append(f"{replay.root}: {note}")
        self.listings["train"] = ReplayListing.joined(self.listings["train"], replay)

    def class_counts(self) -> np.ndarray:
        """Returns how many training images show each class: `[K]` int64."""
        return self._listing("train").class_counts(len(self.classes))

    def _dataset_of(self, listing: Listing, transform: Transform, **options: Any) -> ClassificationDataset:
        classes = len(self.classes) if self.multi_label else None
        return ClassificationDataset(listing, transform, multi_label_classes=classes, **options)

    def _weights(self, listing: Listing) -> np.ndarray | None:
        return class_weights(listing, len(self.classes)) if self.balanced else None


class ImageFolder(ClassificationData):
    """Images in `root/<class>/...` or `root/{train,val,test}/<class>/...`; `root` is a folder or a zip of one.

    Args:
        root: that folder or zip.
        classes: class names of a checkpoint, which the folder's must equal; None: the folder's and those of `replay`,
            sorted.
        replay: for `fit --from RUN` on new classes: a folder (or zip) `<class>/...` of old images, of classes that the
            run knows. They are trained on with those of `root`, and never validated on.
        options: of `ClassificationData`.
    """

    def __init__(
        self, root: str, *, classes: list[str] | None = None, replay: str | None = None, **options: Any
    ) -> None:
        read = partial(read_folder, root, classes, cache=cache_folder(options.get("cache_dir")))
        super().__init__(with_replay(read, replay), **options)


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
        classes: class names of a checkpoint, which the table's must equal; None: the table's and those of `replay`,
            sorted.
        replay: as of `ImageFolder`, for tables with one class for each image.
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
        replay: str | None = None,
        group: str | None = None,
        cache_dir: str | None = None,
        **options: Any,
    ) -> None:
        columns, cache = Columns(path_column, label_column, split_column, group or ""), cache_folder(cache_dir)
        read = partial(read_table, csv, root, columns, multi_label=multi_label, classes=classes, cache=cache)
        images = with_replay(lambda also: read(also=also), replay)
        super().__init__(images, group=group, cache_dir=cache_dir, **options)
