"""Metrics of semantic masks: one confusion matrix over all pixels of a set, exact on any number of ranks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torchmetrics import Metric

from resnet_tl.metrics.bootstrap import RESAMPLES, SEED, completed, once, percentiles, resample
from resnet_tl.metrics.per_class import Tables, column_means, nanmean, quotient, rows, without
from resnet_tl.metrics.stored import joined
from resnet_tl.structures.records import IGNORE

TOLERANCE = 0.0075
"""Tolerance of boundaries, as a share of the image's diagonal (Csurka et al., BMVC 2013, section 3.1)."""

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


class SegmentationMetrics(nn.Module):
    """Scores of one pass over a set. A submodule of the task, so that it follows the task's device.

    miou: the mean over classes of intersection / union, each summed over all pixels of the set (the data-set IoU of
        Pascal VOC and Cityscapes), without the classes that occur in neither targets nor predictions. torchmetrics'
        `MeanIoU` averages the IoU of single images instead, so that small images of few classes weigh more.
    pixel_acc: share of pixels that are correct.
    boundary_f1: the mean over classes of the F1 of boundary pixels, with counts summed over the set. A boundary pixel
        matches if the other mask has one within 0.75 % of the diagonal (in rows and columns). Only with `boundaries`.

    `IGNORE` pixels count nowhere and form no boundaries. Counts are integers, summed over ranks, then divided.

    Args:
        classes: K names.

    Attributes:
        absent: classes that the set does not show at all, which means over classes exclude even where they are
            predicted: those of a checkpoint that is evaluated on another set.
    """

    headline = "miou"

    def __init__(self, classes: list[str]) -> None:
        super().__init__()
        self.classes = classes
        self.absent: Sequence[int] = ()
        self.metric = PixelCounts(len(classes))

    def update(self, predicted: Tensor, targets: Tensor, keep: Tensor, *, boundaries: bool = False) -> Tensor:
        """Adds a batch: predicted and targets are class indices `[N, H, W]`; keep `[N]` is False for fillers.

        Returns the confusion matrix of each image, `[N, K, K]` pixels: (image, target, predicted).
        """
        targets = targets.long().where(keep[:, None, None], IGNORE)
        confusions = image_confusions(predicted, targets, len(self.classes))
        edges = torch.zeros(len(self.classes), 4, dtype=torch.long, device=predicted.device)
        if boundaries:
            for of_image, target in zip(predicted, targets, strict=True):
                edges = edges + boundary_counts(of_image, target, len(self.classes))
        self.metric.update(confusions, keep, edges)
        return confusions

    def compute(self) -> dict[str, float]:
        results = self.results()
        scores = {"miou": nanmean(without(results.iou(), self.absent)), "pixel_acc": results.pixel_accuracy()}
        if results.edges.any():
            scores["boundary_f1"] = nanmean(without(results.boundary_f1(), self.absent))
        return scores

    def tables(self) -> Tables:
        """Returns `per_class`, one dict per class with its name, true pixels, iou, dice, recall (the accuracy of the
        class), precision, and boundary_f1 if it was asked for; `confusion`, `[K][K]` pixels, rows are true classes.
        None where it would be 0/0."""
        results = self.results()
        correct, targets, predicted = np.diag(results.confusion), results.confusion.sum(1), results.confusion.sum(0)
        columns: dict[str, NDArray[Any]] = {
            "pixels": targets,
            "iou": results.iou(),
            "dice": quotient(2 * correct, targets + predicted),
            "recall": quotient(correct, targets),
            "precision": quotient(correct, predicted),
        }
        if results.edges.any():
            columns["boundary_f1"] = results.boundary_f1()
        return {"per_class": rows(self.classes, **columns), "confusion": results.confusion.tolist()}

    def interval(self) -> tuple[float, float]:
        """Returns the 95 % bootstrap interval of miou (percentiles of 1,000 seeded resamples of the images)."""
        return self.results().interval(self.absent)

    def results(self) -> PixelResults:
        """Returns the counts of all ranks, on the CPU."""
        return self.metric.compute()

    def reset(self) -> None:
        self.metric.reset()


class PixelResults(NamedTuple):
    """confusion `[K, K]`: pixels by (target, predicted). images `[N, 3, K]`: pixels of each image by class: correct,
    targets, predicted. edges `[K, 4]`: boundary pixels of predictions: near one of the targets, all; the same of
    targets."""

    confusion: Counts
    images: Counts
    edges: Counts

    def iou(self) -> Floats:
        """Returns the IoU `[K]`; NaN for classes that do not occur."""
        correct = np.diag(self.confusion)
        return quotient(correct, self.confusion.sum(0) + self.confusion.sum(1) - correct)

    def pixel_accuracy(self) -> float:
        total = int(self.confusion.sum())
        return int(np.trace(self.confusion)) / total if total else float("nan")

    def boundary_f1(self) -> Floats:
        """Returns the F1 `[K]`; NaN for classes without boundaries."""
        matched_predictions, predictions, matched_targets, targets = self.edges.T
        precision = np.nan_to_num(quotient(matched_predictions, predictions))
        recall = np.nan_to_num(quotient(matched_targets, targets))
        total = precision + recall
        f1 = np.divide(2 * precision * recall, total, out=np.zeros(len(total)), where=total > 0)
        return np.where(predictions + targets > 0, f1, np.nan)

    def interval(self, absent: Sequence[int] = ()) -> tuple[float, float]:
        return percentiles(
            mean_ious(self.images, resample(np.random.default_rng(SEED), len(self.images), RESAMPLES), absent)
        )


def summaries(confusions: Counts) -> Counts:
    """Returns the `images` of `PixelResults`, `[N, 3, K]`, from confusion matrices `[N, K, K]`."""
    return np.stack([np.diagonal(confusions, axis1=1, axis2=2), confusions.sum(2), confusions.sum(1)], 1)


def class_pixels(images: Counts, drawn: NDArray[np.int32]) -> tuple[Floats, Floats, Floats]:
    """Counts the pixels of each class that are correct, true and predicted, `[K, R]` each, where the images of
    `PixelResults` were drawn so often, `[N, R]`."""
    correct, targets, predicted = np.tensordot(images.astype(np.float64), drawn.astype(np.float64), ((0,), (0,)))
    return correct, targets, predicted


def mean_ious(images: Counts, drawn: NDArray[np.int32], absent: Sequence[int]) -> Floats:
    """Computes the mean IoU `[R]` over the classes of the whole set, see `class_pixels` and `completed`."""
    each, whole = (class_ious(images, counts) for counts in (drawn, once(len(images))))
    return column_means(without(completed(each, whole), absent))


def class_ious(images: Counts, drawn: NDArray[np.int32]) -> Floats:
    """Computes the IoU of each class, `[K, R]`, see `class_pixels`."""
    correct, targets, predicted = class_pixels(images, drawn)
    return quotient(correct, targets + predicted - correct)


class PixelCounts(Metric):
    """Counts pixels on the device; the counts by image are for the bootstrap."""

    full_state_update = False
    confusion: Tensor
    edges: Tensor
    images: list[Tensor]

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.add_state("confusion", torch.zeros(classes, classes, dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("edges", torch.zeros(classes, 4, dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("images", [], dist_reduce_fx="cat")

    def update(self, confusions: Tensor, keep: Tensor, edges: Tensor) -> None:
        """Adds the confusion matrices `[N, K, K]` of N images and their boundary pixels `[K, 4]`."""
        # Fillers are marked in `images`, to be dropped by `compute`: their number must not wait for the device.
        self.confusion = self.confusion + confusions.sum(0)
        self.edges = self.edges + edges
        summary = torch.stack([confusions.diagonal(dim1=1, dim2=2), confusions.sum(2), confusions.sum(1)], dim=1)
        self.images.append(torch.cat([summary, keep[:, None, None].expand(-1, 1, len(edges)).long()], dim=1))

    def compute(self) -> PixelResults:
        images = joined(self.images).cpu().numpy()
        real = images[images[:, 3, 0] == 1][:, :3]
        return PixelResults(self.confusion.cpu().numpy(), real, self.edges.cpu().numpy())


def image_confusions(predicted: Tensor, targets: Tensor, classes: int) -> Tensor:
    """Counts the pixels of each image by (target, predicted), `[N, K, K]`, without those whose target is IGNORE."""
    # Shapes must not depend on values, or this would wait for the device: ignored pixels are added with weight 0.
    counted = targets != IGNORE
    cells = targets.where(counted, 0) * classes + predicted
    image = torch.arange(len(predicted), device=predicted.device)[:, None, None].expand_as(predicted)
    flat = (image * classes * classes + cells).flatten()
    each = torch.zeros(len(predicted) * classes * classes, dtype=torch.long, device=predicted.device)
    return each.index_add(0, flat, counted.flatten().long()).view(len(predicted), classes, classes)


def boundary_counts(predicted: Tensor, target: Tensor, classes: int) -> Tensor:
    """Counts the boundary pixels of one image, `[K, 4]` as in `PixelResults.edges`, from class indices `[H, W]`;
    `target` may hold IGNORE."""
    counted = target != IGNORE
    reach = max(1, round(TOLERANCE * float(target.shape[0] ** 2 + target.shape[1] ** 2) ** 0.5))
    edges = [boundaries(mask.where(counted, IGNORE), classes) & counted for mask in (predicted, target)]
    near = [_dilate(edge, reach) for edge in edges]
    parts = [edges[0] & near[1], edges[0], edges[1] & near[0], edges[1]]
    return torch.stack([part.sum((1, 2)) for part in parts], dim=1)


def boundaries(mask: Tensor, classes: int) -> Tensor:
    """Returns the pixels `[K, H, W]` of each class that have a pixel of another class left, right, above or below.
    IGNORE does not count as another class."""
    inside = mask[None] == torch.arange(classes, device=mask.device)[:, None, None]
    same = inside | (mask == IGNORE)
    other = F.pad((~same).float()[None], (1, 1, 1, 1))[0]
    neighbours = other[:, :-2, 1:-1] + other[:, 2:, 1:-1] + other[:, 1:-1, :-2] + other[:, 1:-1, 2:]
    return inside & (neighbours > 0)


def _dilate(edge: Tensor, reach: int) -> Tensor:
    """Returns the pixels `[K, H, W]` within `reach` rows and columns of a boundary."""
    # A square maximum in two passes, rows and columns: 2 * (2 reach + 1) comparisons a pixel instead of its square.
    within_rows = F.max_pool2d(edge.float()[None], (2 * reach + 1, 1), stride=1, padding=(reach, 0))
    return F.max_pool2d(within_rows, (1, 2 * reach + 1), stride=1, padding=(0, reach))[0] > 0
