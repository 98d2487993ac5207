"""What a network predicted for the images of a split: the record that reports, comparisons and searches read.

Letters in shapes: N images, K classes, M annotated objects, D detections.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]
Text = NDArray[np.str_]


@dataclass(frozen=True)
class Evaluation:
    """Predictions and targets of N images, in the order of the listing; images that could not be decoded are absent.

    classes: K names.
    root, split: where the images are, and which of `val` and `test` they are.
    step: optimizer steps that the weights had been trained for.
    absent: classes that no image of the set shows, which means over classes exclude.
    keys: `[N]` paths below `root`.
    losses: `[N]` float32, the loss of each image; of classifiers without weights of classes and label smoothing.
    """

    task: ClassVar[str]

    classes: list[str]
    root: str
    split: str
    step: int
    absent: list[int]
    keys: Text
    losses: Floats

    def __len__(self) -> int:
        return len(self.keys)

    def path(self, index: int) -> str:
        """Returns the file of an image."""
        return os.path.join(self.root, str(self.keys[index]))

    def files(self) -> list[str]:
        """Returns the files of the images that are still there."""
        return [path for path in map(self.path, range(len(self))) if os.path.isfile(path)]


@dataclass(frozen=True)
class ClassEvaluation(Evaluation):
    """Of a classifier.

    probabilities: `[N, K]` float32, 0...1.
    targets: class indices `[N]` int64; multi-label: `[N, K]` bool.
    thresholds: `[K]` float32, the probabilities from which multi-label predicts a class; empty for multi-class.
    """

    task = "classification"

    probabilities: Floats
    targets: Integers | Flags
    thresholds: Floats

    @property
    def multi_label(self) -> bool:
        return self.targets.ndim == 2


@dataclass(frozen=True)
class ValueEvaluation(Evaluation):
    """Of a network that predicts T numbers, whose names are `classes`; a loss is the mean absolute error of an image's
    numbers in standard deviations.

    predictions: `[N, T, Q]` float32, quantiles in ascending order, or the number alone.
    targets: `[N, T]` float32.
    sd: `[T]` float32, standard deviations of the training images' numbers.
    coverage: 0...1, the share of images whose number is to lie in its interval.
    """

    task = "regression"

    predictions: Floats
    targets: Floats
    sd: Floats
    coverage: float


def values_of(predictions: NDArray[np.floating]) -> NDArray[np.floating]:
    """Returns the predicted numbers `[N, T]` of quantiles `[N, T, Q]`: the median."""
    return predictions[..., predictions.shape[-1] // 2]


@dataclass(frozen=True)
class BoxEvaluation(Evaluation):
    """Of a detector, in pixels of the upright image files. `image` numbers the images 0...N-1, ascending.

    sizes: `[N, 2]` int64 (h, w).
    target_...: of M annotated objects: image, label and crowd `[M]`, area `[M]` float64 in square pixels, boxes
        `[M, 4]` float64 x1, y1, x2, y2; masks: their compressed run lengths (COCO's) one after another, uint8, with
        the number of bytes of each in mask_bytes `[M]`, all 0 without masks.
    image, labels, scores, boxes, masks, mask_bytes: the same of D detections, best first within an image.
    """

    task = "detection"

    sizes: Integers
    target_image: Integers
    target_labels: Integers
    target_crowd: Flags
    target_area: NDArray[np.float64]
    target_boxes: NDArray[np.float64]
    target_masks: NDArray[np.uint8]
    target_mask_bytes: Integers
    image: Integers
    labels: Integers
    scores: NDArray[np.float64]
    boxes: NDArray[np.float64]
    masks: NDArray[np.uint8]
    mask_bytes: Integers

    @property
    def has_masks(self) -> bool:
        return bool(self.mask_bytes.any())


@dataclass(frozen=True)
class PixelEvaluation(Evaluation):
    """Of a segmentation network.

    cells: `[C, 4]` int64 (image, target, predicted, pixels): the cells of each image's confusion matrix that are not 0.
    edges: `[K, 4]` int64, boundary pixels as in `PixelResults`; all 0 where they were not counted.
    surfaces: `[N, K, 2]` float64, see `surface_distances`; None where they were not measured. It is not stored.
    """

    task = "segmentation"

    cells: Integers
    edges: Integers
    surfaces: NDArray[np.float64] | None = None

    def confusions(self) -> Integers:
        """Returns the confusion matrix of each image, `[N, K, K]` pixels: (image, target, predicted)."""
        dense = np.zeros((len(self), len(self.classes), len(self.classes)), np.int64)
        image, target, predicted, pixels = self.cells.T
        dense[image, target, predicted] = pixels
        return dense
