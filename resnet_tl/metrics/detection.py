"""COCO's scores of found boxes and masks, exactly, on any number of processes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from resnet_tl.metrics.coco import Annotation, CocoScores, area, encode, evaluate
from resnet_tl.metrics.per_class import rows
from resnet_tl.models.pasting import paste
from resnet_tl.structures.boxes import area as box_area
from resnet_tl.structures.boxes import to_xywh
from resnet_tl.structures.masks import to_run_lengths
from resnet_tl.structures.records import Boxes, Detections


class DetectionMetrics(nn.Module):
    """Scores of one pass over a set: a module of the task, so that it follows the task's device.

    The first of `compute` and `tables` after an update gathers from all processes, so every process calls it. How
    images were dealt out changes nothing.

    Args:
        classes: K names.

    `headline` is the key of the score that a run is judged by.
    """

    headline = "map"

    def __init__(self, classes: list[str]) -> None:
        super().__init__()
        self.classes = classes
        self.seen = Collection(len(classes))

    def update(self, detections: Detections, targets: Boxes, indices: Tensor, sizes: Tensor) -> None:
        """One batch, in pixels of the original images: by their area, small, medium and large objects are told apart.

        indices: `[N]`, the images' places in the listing; -1 marks a filler. sizes: `[N, 2]`, their (h, w).
        """
        self.seen.update(detections, targets, indices, sizes)

    def compute(self) -> dict[str, float]:
        """COCO's twelve numbers of boxes, and where masks were found those of masks, as `mask_map` and so on: average
        precision and recall in 0...1, -1 where no object is of that kind.

        map: the mean over IoU thresholds 0.5, 0.55 ... 0.95 and over the classes that occur; map50, map75 at one
        threshold; map_small, _medium, _large: of objects below 32², below 96², and above. mar1, mar10, mar100: recall
        with so many detections an image; mar_small, _medium, _large: with 100. Crowds are neither hit nor missed.
        """
        found = self.seen.compute()
        masks = {} if found.masks is None else {f"mask_{name}": value for name, value in found.masks.numbers.items()}
        return {**found.boxes.numbers, **masks}

    def tables(self) -> dict[str, Any]:
        """`per_class`: one dict a class with its name, its number of objects, map and map50, and mask_map and
        mask_map50 where masks were found; None without objects."""
        found = self.seen.compute()
        columns = {"objects": found.objects, **_by_class("", found.boxes)}
        if found.masks is not None:
            columns |= _by_class("mask_", found.masks)
        return {"per_class": rows(self.classes, **columns)}

    def reset(self) -> None:
        self.seen.reset()


class Scores(NamedTuple):
    """Of boxes, and of masks where any were asked for; `objects` `[K]`: how many there are, crowds left out."""

    boxes: CocoScores
    masks: CocoScores | None
    objects: NDArray[np.int64]


class Collection(Metric):
    """Every detection and every object of the pass, a row each, with its image's index. Fillers are left out.

    Rows are in fp64, which holds an index, a label and a pixel exactly: images (index, h, w); found (index, label,
    score, box, bytes of its mask); true (index, label, crowd, area, box, bytes of its mask). The masks lie one after
    another in `found_masks` and `true_masks`, as COCO's compressed run lengths.
    """

    full_state_update = False
    images: list[Tensor]
    found: list[Tensor]
    true: list[Tensor]
    found_masks: list[Tensor]
    true_masks: list[Tensor]
    masks_seen: Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes
        for name in ("images", "found", "true", "found_masks", "true_masks"):
            self.add_state(name, [], dist_reduce_fx="cat")
        self.add_state("masks_seen", torch.tensor(False), dist_reduce_fx="max")

    def update(self, detections: Detections, targets: Boxes, indices: Tensor, sizes: Tensor) -> None:
        real = indices >= 0
        n, d = ((detections.labels >= 0) & real[:, None]).nonzero(as_tuple=True)
        targets = targets.where(real[targets.image])
        found_masks, true_masks = [b""] * len(n), [b""] * len(targets)
        if detections.masks is not None:
            self.masks_seen = torch.ones_like(self.masks_seen)
            found_masks = _found_masks(detections.masks[n, d], detections.boxes[n, d], sizes[n])
            true_masks = _true_masks(targets, sizes)
        scores, labels = detections.scores[n, d, None], detections.labels[n, d, None]
        about = targets.labels[:, None], targets.crowd[:, None], targets.area[:, None], targets.boxes
        self.images.append(_rows(indices[real, None], sizes[real]))
        self.found.append(_rows(indices[n, None], labels, scores, detections.boxes[n, d], _lengths(found_masks)))
        self.true.append(_rows(indices[targets.image, None], *about, _lengths(true_masks)))
        self.found_masks.append(_bytes(found_masks).to(indices.device))
        self.true_masks.append(_bytes(true_masks).to(indices.device))

    def compute(self) -> Scores:
        images = dim_zero_cat(self.images).long().unique(dim=0).tolist()
        found, true = dim_zero_cat(self.found).cpu(), dim_zero_cat(self.true).cpu()
        listed = [{"id": index, "height": height, "width": width} for index, height, width in images]
        said = _annotations(found, score=found[:, 2], area=box_area(found[:, 3:7]))
        there = _annotations(true, iscrowd=true[:, 2].long(), area=true[:, 3])
        boxes = evaluate(listed, said, there, self.classes, "bbox")
        masks = None
        if self.masks_seen:
            sizes = {index: (height, width) for index, height, width in images}
            said = _with_masks(said, found, dim_zero_cat(self.found_masks), sizes)
            said = [{**each, "area": area(each["segmentation"])} for each in said]
            there = _with_masks(there, true, dim_zero_cat(self.true_masks), sizes)
            masks = evaluate(listed, said, there, self.classes, "segm")
        single = true[true[:, 2] == 0, 1].long()
        return Scores(boxes, masks, single.bincount(minlength=self.classes).numpy())


def _found_masks(masks: Tensor, boxes: Tensor, sizes: Tensor) -> list[bytes]:
    """Of probabilities `[M, S, S]` over boxes `[M, 4]` on images of `sizes` `[M, 2]`."""
    each = zip(masks.cpu(), boxes.cpu(), sizes.tolist(), strict=True)
    cut = ((paste(mask, box, (height, width)), (height, width)) for mask, box, (height, width) in each)
    return [encode(to_run_lengths(pixels, (top, left), size), *size) for (pixels, top, left), size in cut]


def _true_masks(targets: Boxes, sizes: Tensor) -> list[bytes]:
    of = sizes[targets.image].tolist()
    return [encode(mask, height, width) for mask, (height, width) in zip(targets.masks or [], of, strict=True)]


def _rows(*columns: Tensor) -> Tensor:
    return torch.cat([column.to(columns[0].device, torch.float64) for column in columns], 1)


def _lengths(masks: list[bytes]) -> Tensor:
    return torch.tensor([[len(mask)] for mask in masks]).view(-1, 1)


def _bytes(masks: list[bytes]) -> Tensor:
    return torch.from_numpy(np.frombuffer(b"".join(masks), np.uint8).copy())


def _annotations(rows: Tensor, **columns: Tensor) -> list[Annotation]:
    """COCO's, of rows (index, label, ..., box, bytes of the mask)."""
    ids = {"image_id": rows[:, 0].long(), "category_id": rows[:, 1].long()}
    columns = {**ids, "bbox": to_xywh(rows[:, -5:-1]), **columns}
    names, values = list(columns), zip(*(column.tolist() for column in columns.values()), strict=True)
    return [dict(zip(names, each, strict=True)) for each in values]


def _with_masks(
    annotations: list[Annotation], rows: Tensor, masks: Tensor, sizes: dict[int, tuple[int, int]]
) -> list[Annotation]:
    content, ends = masks.cpu().numpy().tobytes(), rows[:, -1].long().cumsum(0).tolist()
    each = zip(annotations, [0, *ends], ends, strict=False)
    return [
        {**annotation, "segmentation": {"size": list(sizes[annotation["image_id"]]), "counts": content[start:end]}}
        for annotation, start, end in each
    ]


def _by_class(prefix: str, scores: CocoScores) -> dict[str, NDArray[np.float64]]:
    """map and map50 of each class, `[K]`; NaN where there is no object."""
    precision = np.where(scores.precision > -1, scores.precision, np.nan)
    return {f"{prefix}map": precision.mean((0, 1)), f"{prefix}map50": precision[0].mean(0)}
