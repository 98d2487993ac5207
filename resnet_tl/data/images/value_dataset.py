"""Images with numbers, decoded and augmented."""

from __future__ import annotations

from typing import Any

import numpy as np

from resnet_tl.data.images.classification_dataset import ClassificationDataset


class ValueDataset(ClassificationDataset):
    """A `ClassificationDataset` whose targets are the numbers `[T]` float32 of its `listing`; a filler's are 0."""

    def _targets_at(self, indices: np.ndarray) -> np.ndarray:
        values: Any = self.listing
        return np.where(indices[:, None] >= 0, values.values[indices], np.float32(0))

    def _target_at(self, index: int) -> np.ndarray:
        return self._targets_at(np.array([index]))[0]

    def _target(self, target: Any) -> np.ndarray:
        return np.array(target, np.float32)
