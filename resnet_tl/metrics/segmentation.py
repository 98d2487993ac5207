"""How good masks are: one confusion matrix over all pixels of a set, exactly, on any number of processes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from resnet_tl.metrics.bootstrap import RESAMPLES, SEED, draw, middle
from resnet_tl.metrics.per_class import mean_of_known, rows
from resnet_tl.structures.records import IGNORE

TOLERANCE = 0.0075
"""Of boundaries, as a share of the image's diagonal (Csurka et al., BMVC 2013, section 3.1)."""

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


class SegmentationMetrics(nn.Module):
    """Scores of one pass over a set: a module of the task, so that it follows the task's device.

    miou: the mean over classes of intersection / union, each summed over all pixels of the set (the data-set IoU of
        Pascal VOC and Cityscapes). A class that occurs neither among truths nor answers is left out. torchmetrics'
        `MeanIoU` takes the mean of every image's own IoU instead, in which small images of few classes weigh more:
        it differs wherever images differ.
    pixel_acc: share of the pixels that are right.
    boundary_f1: the mean over classes of the F1 of boundary pixels that have one of the other mask's within 0.75 % of
        the diagonal (in rows and in columns), their counts summed over the set; where `boundaries` are asked for.

    Pixels of `IGNORE` count nowhere, and are nobody's boundary. Counts are integers, summed over processes, then
    divided.

    Args:
        classes: K names.
    """

    headline = "miou"

    def __init__(self, classes: list[str]) -> None:
        super().__init__()
        self.classes = classes
        self.seen = PixelCounts(len(classes))

    def update(self, said: Tensor, targets: Tensor, keep: Tensor, *, boundaries: bool = False) -> None:
        """One batch: said `[N, H, W]` class indices; targets `[N, H, W]`; keep `[N]`, False at fillers."""
        self.seen.update(said, targets, keep, boundaries)

    def compute(self) -> dict[str, float]:
        results = self.results()
        scores = {"miou": mean_of_known(results.iou()), "pixel_acc": results.pixel_accuracy()}
        if results.edges.any():
            scores["boundary_f1"] = mean_of_known(results.boundary_f1())
        return scores

    def tables(self) -> dict[str, Any]:
        """`per_class`: a dict a class with its name, true pixels, iou, recall (a class's accuracy), precision, and
        boundary_f1 where it was asked for; `confusion`: `[K][K]` pixels, a row a true class. 0/0 is None."""
        results = self.results()
        both, true, said = np.diag(results.confusion), results.confusion.sum(1), results.confusion.sum(0)
        columns: dict[str, Any] = {"iou": results.iou(), "recall": _ratio(both, true), "precision": _ratio(both, said)}
        if results.edges.any():
            columns["boundary_f1"] = results.boundary_f1()
        return {"per_class": rows(self.classes, pixels=true, **columns), "confusion": results.confusion.tolist()}

    def interval(self) -> tuple[float, float]:
        """miou's 95 % bootstrap interval (percentiles of 1,000 seeded resamples of the images)."""
        return self.results().interval()

    def results(self) -> PixelResults:
        return self.seen.compute()

    def reset(self) -> None:
        self.seen.reset()


class PixelResults(NamedTuple):
    """confusion `[K, K]`: pixels by (true, said); images `[N, 3, K]`: each image's pixels of a class that are
    right, true, said; edges `[K, 4]`: boundary pixels of answers near a true one, and all; the same of truths."""

    confusion: Counts
    images: Counts
    edges: Counts

    def iou(self) -> Floats:
        """`[K]`; NaN for a class that does not occur."""
        both = np.diag(self.confusion)
        return _ratio(both, self.confusion.sum(0) + self.confusion.sum(1) - both)

    def pixel_accuracy(self) -> float:
        total = int(self.confusion.sum())
        return int(np.trace(self.confusion)) / total if total else float("nan")

    def boundary_f1(self) -> Floats:
        near_said, said, near_true, true = self.edges.T
        precision, recall = _ratio(near_said, said), _ratio(near_true, true)
        either = (said + true) > 0
        precision, recall = np.nan_to_num(precision), np.nan_to_num(recall)
        f1 = np.divide(
            2 * precision * recall, precision + recall, out=np.zeros(len(said)), where=precision + recall > 0
        )
        return np.where(either, f1, np.nan)

    def interval(self) -> tuple[float, float]:
        drawn = draw(np.random.default_rng(SEED), len(self.images), RESAMPLES)
        right, true, said = np.einsum("nr,ncx->crx", drawn.astype(np.float64), self.images.astype(np.float64))
        union = true + said - right
        ious = np.divide(right, union, out=np.full_like(right, np.nan), where=union > 0)
        return middle(np.nanmean(ious, axis=1))


class PixelCounts(Metric):
    full_state_update = False
    confusion: Tensor
    edges: Tensor
    images: list[Tensor]

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.add_state("confusion", torch.zeros(classes, classes, dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("edges", torch.zeros(classes, 4, dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("images", [], dist_reduce_fx="cat")

    def update(self, said: Tensor, targets: Tensor, keep: Tensor, boundaries: bool) -> None:
        classes = len(self.confusion)
        targets = targets.long().where(keep[:, None, None], IGNORE)
        counted = targets != IGNORE
        cells = targets.where(counted, 0) * classes + said
        image = torch.arange(len(said), device=said.device)[:, None, None].expand_as(said)
        flat = (image * classes * classes + cells).flatten()
        each = torch.zeros(len(said) * classes * classes, dtype=torch.long, device=said.device)
        each = each.index_add(0, flat, counted.flatten().long()).view(len(said), classes, classes)
        self.confusion = self.confusion + each.sum(0)
        summary = torch.stack([each.diagonal(dim1=1, dim2=2), each.sum(2), each.sum(1)], dim=1)
        self.images.append(torch.cat([summary, keep[:, None, None].expand(-1, 1, classes).long()], dim=1))
        if boundaries:
            for one, true in zip(said, targets, strict=True):
                self.edges = self.edges + boundary_counts(one, true, classes)

    def compute(self) -> PixelResults:
        images = dim_zero_cat(self.images).cpu().numpy()
        kept = images[images[:, 3, 0] == 1][:, :3]
        return PixelResults(self.confusion.cpu().numpy(), kept, self.edges.cpu().numpy())


def boundary_counts(said: Tensor, true: Tensor, classes: int) -> Tensor:
    """`[K, 4]` of one image, see `PixelResults.edges`; said, true: `[H, W]`, IGNORE in `true`."""
    counted = true != IGNORE
    reach = max(1, round(TOLERANCE * float(true.shape[0] ** 2 + true.shape[1] ** 2) ** 0.5))
    edges = [_boundaries(mask.where(counted, IGNORE), classes) & counted for mask in (said, true)]
    near = [_grown(edge, reach) for edge in edges]
    parts = [edges[0] & near[1], edges[0], edges[1] & near[0], edges[1]]
    return torch.stack([part.sum((1, 2)) for part in parts], dim=1)


def _boundaries(mask: Tensor, classes: int) -> Tensor:
    """`[K, H, W]`: pixels of a class beside, below or above one of another class; what is ignored is no other."""
    inside = mask[None] == torch.arange(classes, device=mask.device)[:, None, None]
    free = inside | (mask == IGNORE)
    other = F.pad((~free).float()[None], (1, 1, 1, 1))[0]
    beside = other[:, :-2, 1:-1] + other[:, 2:, 1:-1] + other[:, 1:-1, :-2] + other[:, 1:-1, 2:]
    return inside & (beside > 0)


def _grown(edge: Tensor, reach: int) -> Tensor:
    """What lies within `reach` rows and columns of a boundary."""
    rows_ = F.max_pool2d(edge.float()[None], (2 * reach + 1, 1), stride=1, padding=(reach, 0))
    return F.max_pool2d(rows_, (1, 2 * reach + 1), stride=1, padding=(0, reach))[0] > 0


def _ratio(above: NDArray[Any], below: NDArray[Any]) -> Floats:
    return np.divide(above, below, out=np.full(len(above), np.nan), where=below > 0)
