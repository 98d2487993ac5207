"""Rows about images, gathered from all ranks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric

from resnet_tl.metrics.stored import joined


class Record(Metric):
    """Stores rows of named columns on the device; `compute` drops those of fillers and sorts by image.

    Args:
        columns: their names. `indices`, the image of each row by its position in the listing, always belongs to them.
    """

    full_state_update = False
    indices: list[Tensor]

    def __init__(self, *columns: str) -> None:
        super().__init__()
        self.columns = ("indices", *columns)
        for name in self.columns:
            self.add_state(name, [], dist_reduce_fx="cat")

    def update(self, **columns: Tensor) -> None:
        """Adds n rows, each column `[n, ...]`; index -1 marks a filler."""
        for name in self.columns:
            getattr(self, name).append(columns[name].detach())

    def compute(self) -> dict[str, NDArray]:
        """Returns the columns of all ranks in the order of the listing; rows of one image stay in theirs."""
        indices = joined(self.indices).cpu().numpy()
        order = np.argsort(indices, kind="stable")[np.count_nonzero(indices < 0) :]
        columns = {name: joined(getattr(self, name)).cpu().numpy() for name in self.columns}
        return {name: column[order] for name, column in columns.items()}
