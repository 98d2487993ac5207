"""COCO's metrics of boxes and masks, exact on any number of ranks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchmetrics import Metric

from resnet_tl.metrics.coco import Annotation, CocoScores, area, encode, evaluate
from resnet_tl.metrics.per_class import Tables, rows
from resnet_tl.metrics.stored import joined
from resnet_tl.models.pasting import paste
from resnet_tl.structures.boxes import area as box_area
from resnet_tl.structures.boxes import to_xywh
from resnet_tl.structures.masks import to_run_lengths
from resnet_tl.structures.records import Boxes, Detections


class DetectionMetrics(nn.Module):
    """Scores of one pass over a set. A submodule of the task, so that it follows the task's device.

    The first of `compute` and `tables` after an update gathers from all ranks, so every rank must call it. The
    distribution of images over ranks does not change the scores.

    Args:
        classes: K names.
        aligned: how predicted masks are pasted, see `resnet_tl.models.pasting`.

    `headline` is the key of the score that runs are compared by.
    """

    headline = "map"

    def __init__(self, classes: list[str], *, aligned: bool = False) -> None:
        super().__init__()
        self.classes, self.aligned = classes, aligned
        self.metric = DetectionStore(len(classes))

    def update(self, detections: Detections, targets: Boxes, indices: Tensor, sizes: Tensor) -> None:
        """Adds a batch, in pixels of the original images: COCO's small, medium and large objects differ by their area.

        indices: `[N]`, the images' positions in the listing; -1 marks a filler. sizes: `[N, 2]`, their (h, w).
        """
        self.metric.update(Objects.of(detections, targets, indices, sizes, aligned=self.aligned))

    def compute(self) -> dict[str, float]:
        """Returns COCO's twelve numbers of boxes and, if masks were predicted, those of masks as `mask_map` and so on:
        average precision and recall, 0...1, or -1 if there are no objects of that kind.

        map: the mean over IoU thresholds 0.5, 0.55 ... 0.95 and over the classes that occur; map50, map75: at one
        threshold; map_small, _medium, _large: of objects below 32², below 96² and above, in pixels. mar1, mar10,
        mar100: recall with that many detections per image; mar_small, _medium, _large: with 100. Crowds are neither
        hits nor misses.
        """
        scores = self.metric.compute()
        masks = {} if scores.masks is None else {f"mask_{name}": value for name, value in scores.masks.numbers.items()}
        return {**scores.boxes.numbers, **masks}

    def tables(self) -> Tables:
        """Returns `per_class`, one dict per class with its name, number of objects, map, map50 and those by size
        (map_small, ...), and mask_map, mask_map50, ... if masks were predicted; None without objects."""
        scores = self.metric.compute()
        columns = {"objects": scores.objects, **_by_class("", scores.boxes)}
        if scores.masks is not None:
            columns |= _by_class("mask_", scores.masks)
        return {"per_class": rows(self.classes, **columns)}

    def scores(self) -> Scores:
        """Returns all scores, by class too."""
        return self.metric.compute()

    def objects(self) -> Objects:
        """Returns the objects and detections of all ranks."""
        return self.metric.compute().rows

    def reset(self) -> None:
        self.metric.reset()


class Objects(NamedTuple):
    """Detections and objects as rows, see `DetectionStore`; those of a whole pass are in the order of the images."""

    images: Tensor
    predictions: Tensor
    targets: Tensor
    prediction_masks: Tensor
    target_masks: Tensor
    has_masks: bool

    @classmethod
    def of(
        cls, detections: Detections, targets: Boxes, indices: Tensor, sizes: Tensor, *, aligned: bool = False
    ) -> Objects:
        """The rows of a batch, without those of fillers; see `DetectionMetrics.update`."""
        real = indices >= 0
        n, d = ((detections.labels >= 0) & real[:, None]).nonzero(as_tuple=True)
        targets = targets.where(real[targets.image])
        prediction_masks, target_masks = [b""] * len(n), [b""] * len(targets)
        if detections.masks is not None:
            masks, boxes = detections.masks[n, d], detections.boxes[n, d]
            prediction_masks = _prediction_masks(masks, boxes, sizes[n], aligned)
            target_masks = _target_masks(targets, sizes)
        predicted = detections.labels[n, d, None], detections.scores[n, d, None], detections.boxes[n, d]
        expected = targets.labels[:, None], targets.crowd[:, None], targets.area[:, None], targets.boxes
        return cls(
            _rows(indices[real, None], sizes[real]),
            _rows(indices[n, None], *predicted, _lengths(prediction_masks)),
            _rows(indices[targets.image, None], *expected, _lengths(target_masks)),
            _bytes(prediction_masks).to(indices.device),
            _bytes(target_masks).to(indices.device),
            detections.masks is not None,
        )

    def scores(self, classes: int) -> Scores:
        listed = [
            {"id": index, "height": height, "width": width} for index, height, width in self.images.long().tolist()
        ]
        predicted, expected = self.predictions, self.targets
        predictions = _annotations(predicted, score=predicted[:, 2], area=box_area(predicted[:, 3:7]))
        targets = _annotations(expected, iscrowd=expected[:, 2].long(), area=expected[:, 3])
        boxes = evaluate(listed, predictions, targets, classes, "bbox")
        masks = None
        if self.has_masks:
            sizes = {each["id"]: (each["height"], each["width"]) for each in listed}
            predictions = _with_masks(predictions, predicted, self.prediction_masks, sizes)
            predictions = [{**each, "area": area(each["segmentation"])} for each in predictions]
            targets = _with_masks(targets, expected, self.target_masks, sizes)
            masks = evaluate(listed, predictions, targets, classes, "segm")
        single = expected[expected[:, 2] == 0, 1].long()
        return Scores(self, boxes, masks, single.bincount(minlength=classes).numpy())


class Scores(NamedTuple):
    """Scores of boxes, and of masks if any were predicted; `objects` `[K]`: number of objects, without crowds."""

    rows: Objects
    boxes: CocoScores
    masks: CocoScores | None
    objects: NDArray[np.int64]


class DetectionStore(Metric):
    """Stores every detection and every object of the pass as a row, with the index of its image; drops fillers.

    Rows are fp64, which holds indices, labels and pixels exactly: images (index, h, w); predictions (index, label,
    score, box, bytes of the mask); targets (index, label, crowd, area, box, bytes of the mask). The masks follow one
    another in `prediction_masks` and `target_masks`, as COCO's compressed run lengths: tensors are what ranks exchange.
    """

    full_state_update = False
    images: list[Tensor]
    predictions: list[Tensor]
    targets: list[Tensor]
    prediction_masks: list[Tensor]
    target_masks: list[Tensor]
    has_masks: Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes
        for name in ("images", "predictions", "targets", "prediction_masks", "target_masks"):
            self.add_state(name, [], dist_reduce_fx="cat")
        self.add_state("has_masks", torch.tensor(False), dist_reduce_fx="max")

    def update(self, rows: Objects) -> None:
        for name in ("images", "predictions", "targets", "prediction_masks", "target_masks"):
            getattr(self, name).append(getattr(rows, name))
        self.has_masks = self.has_masks | rows.has_masks

    def compute(self) -> Scores:
        predictions = _by_image(joined(self.predictions).cpu(), joined(self.prediction_masks).cpu())
        targets = _by_image(joined(self.targets).cpu(), joined(self.target_masks).cpu())
        images = joined(self.images).cpu().unique(dim=0)
        rows = Objects(images, predictions[0], targets[0], predictions[1], targets[1], bool(self.has_masks))
        return rows.scores(self.classes)


def _prediction_masks(masks: Tensor, boxes: Tensor, sizes: Tensor, aligned: bool) -> list[bytes]:
    """Encodes probabilities `[M, S, S]` over boxes `[M, 4]`, on images of `sizes` `[M, 2]` (h, w)."""
    each = zip(masks.cpu(), boxes.cpu(), sizes.tolist(), strict=True)
    pasted = ((paste(mask, box, (h, w), aligned=aligned), (h, w)) for mask, box, (h, w) in each)
    return [encode(to_run_lengths(pixels, (top, left), size), *size) for (pixels, top, left), size in pasted]


def _target_masks(targets: Boxes, sizes: Tensor) -> list[bytes]:
    each = zip(targets.masks or [], sizes[targets.image].tolist(), strict=True)
    return [encode(mask, height, width) for mask, (height, width) in each]


def _rows(*columns: Tensor) -> Tensor:
    return torch.cat([column.to(columns[0].device, torch.float64) for column in columns], 1)


def _lengths(masks: list[bytes]) -> Tensor:
    return torch.tensor([[len(mask)] for mask in masks]).view(-1, 1)


def _bytes(masks: list[bytes]) -> Tensor:
    return torch.from_numpy(np.frombuffer(b"".join(masks), np.uint8).copy())


def _by_image(rows: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Sorts rows, whose last column is the bytes of their mask, and the masks by image."""
    order = rows[:, 0].argsort(stable=True)
    each = masks.split(rows[:, -1].long().tolist())
    return rows[order], torch.cat([each[index] for index in order.tolist()]) if len(masks) else masks


def _annotations(rows: Tensor, **columns: Tensor) -> list[Annotation]:
    """Builds COCO's annotations from rows (index, label, ..., box, bytes of the mask)."""
    ids = {"image_id": rows[:, 0].long(), "category_id": rows[:, 1].long()}
    columns = {**ids, "bbox": to_xywh(rows[:, -5:-1]), **columns}
    names, values = list(columns), zip(*(column.tolist() for column in columns.values()), strict=True)
    return [dict(zip(names, each, strict=True)) for each in values]


def _with_masks(
    annotations: list[Annotation], rows: Tensor, masks: Tensor, sizes: dict[int, tuple[int, int]]
) -> list[Annotation]:
    """Adds to each annotation its part of `masks`, the bytes of all masks in the order of `rows`."""
    content, ends = masks.cpu().numpy().tobytes(), rows[:, -1].long().cumsum(0).tolist()
    each = zip(annotations, [0, *ends], ends, strict=False)
    return [
        {**annotation, "segmentation": {"size": list(sizes[annotation["image_id"]]), "counts": content[start:end]}}
        for annotation, start, end in each
    ]


def _by_class(prefix: str, scores: CocoScores) -> dict[str, NDArray[np.float64]]:
    """Returns map, map50 and map by size of objects by class, `[K]`; NaN for classes without such objects."""
    precision, by_size = (np.where(each > -1, each, np.nan) for each in (scores.precision, scores.by_size))
    sizes = {f"{prefix}map_{size}": row for size, row in zip(("small", "medium", "large"), by_size, strict=True)}
    return {f"{prefix}map": precision.mean((0, 1)), f"{prefix}map50": precision[0].mean(0), **sizes}
