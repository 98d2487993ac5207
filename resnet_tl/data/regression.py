"""Images with numbers as LightningDataModules."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_tl.data.images.transforms import Transform
from resnet_tl.data.images.value_dataset import ValueDataset
from resnet_tl.data.listings.values import ValueListing
from resnet_tl.data.one_size import OneSizeData
from resnet_tl.data.sources.value_table import ValueColumns, read_values


class RegressionData(OneSizeData[ValueListing]):
    """Images with one or several numbers; `classes` are the names of these."""

    def class_counts(self) -> np.ndarray:
        """Returns how many training images have each number: all of them, `[T]` int64."""
        return self._listing("train").class_counts(len(self.classes))

    def training_values(self) -> NDArray[np.float32]:
        """Returns the numbers of the training images, `[N, T]`."""
        return self._listing("train").values

    def _dataset_of(self, listing: ValueListing, transform: Transform, **options: Any) -> ValueDataset:
        return ValueDataset(listing, transform, **options)


class RegressionTable(RegressionData):
    """Images listed in a CSV with a header: a column of paths, one or several of numbers, optionally one of splits.

    Args:
        csv: path of that file.
        root: folder or zip that its paths are relative to; None: the folder of the table.
        path_column: header of the paths.
        value_columns: headers of the numbers; None: the only other column.
        split_column: header of train, val or test; a table without such a column is a single split.
        classes: names of a checkpoint's numbers, in the order of `value_columns`; None: these headers.
        options: of `OneSizeData`.
    """

    def __init__(
        self,
        csv: str,
        root: str | None = None,
        *,
        path_column: str = "path",
        value_columns: list[str] | None = None,
        split_column: str = "split",
        classes: list[str] | None = None,
        group: str | None = None,
        **options: Any,
    ) -> None:
        columns = ValueColumns(path_column, value_columns, split_column, group or "")
        super().__init__(read_values(csv, root, columns, names=classes), group=group, **options)
