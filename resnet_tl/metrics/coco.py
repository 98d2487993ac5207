"""COCO's evaluation of boxes or masks, by faster-coco-eval."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from faster_coco_eval import COCO, COCOeval_faster
from faster_coco_eval.core import mask as coco_masks

from resnet_tl.structures.masks import Mask, RunLengths

NAMES = (
    "map", "map50", "map75", "map_small", "map_medium", "map_large",
    "mar1", "mar10", "mar100", "mar_small", "mar_medium", "mar_large",
)  # fmt: skip
"""Names of COCO's twelve numbers, in COCO's order."""

Annotation = dict[str, Any]
"""An entry of a COCO json file without `id`; detections have a `score`, masks are compressed run lengths."""


class CocoScores(NamedTuple):
    """numbers: by the names in `NAMES`, 0...1, or -1 if there are no objects of that kind. precision: `[10, 101, K]` by
    IoU threshold (0.5, 0.55, ... 0.95), recall (0, 0.01, ... 1) and class; -1 for classes without objects. by_size:
    `[3, K]`, the AP of small, medium and large objects; -1 for classes without any."""

    numbers: dict[str, float]
    precision: npt.NDArray[np.float64]
    by_size: npt.NDArray[np.float64]


def evaluate(
    images: list[Annotation],
    predictions: list[Annotation],
    targets: list[Annotation],
    classes: int,
    kind: Literal["bbox", "segm"],
) -> CocoScores:
    """Compares predictions with targets.

    Args:
        images: `{id}`, for masks with `height` and `width`; includes images without objects or detections.
        predictions, targets: on these images. Their categories are 0 ... `classes` - 1.
        kind: compare boxes or masks.
    """
    categories = [{"id": number} for number in range(classes)]
    truth, results = (_coco(images, annotations, categories) for annotations in (targets, predictions))
    evaluation = COCOeval_faster(truth, results, kind)
    evaluation.rle_iou_max_workers = 1  # the threads of version 1.8.0 can deadlock
    evaluation.run()
    numbers = dict(zip(NAMES, map(float, evaluation.stats), strict=True))
    precision = evaluation.eval["precision"][..., -1]
    return CocoScores(numbers, precision[..., 0], precision[..., 1:].mean((0, 1)).T)


def encode(mask: Mask, height: int, width: int) -> bytes:
    """Encodes a mask as COCO's compressed run lengths; polygons are filled by COCO's own rule."""
    if isinstance(mask, RunLengths):
        rle = coco_masks.frPyObjects({"size": list(mask.size), "counts": mask.counts.tolist()}, *mask.size)
    else:
        polygons = [corners.astype(np.float64).ravel().tolist() for corners in mask]
        rle = coco_masks.merge(coco_masks.frPyObjects(polygons, height, width))
    counts: str | bytes = rle["counts"]
    return counts if isinstance(counts, bytes) else counts.encode()


def area(segmentation: dict[str, Any]) -> float:
    """Returns the area in pixels of compressed run lengths."""
    return float(coco_masks.area(segmentation))


def _coco(images: list[Annotation], annotations: list[Annotation], categories: list[Annotation]) -> COCO:
    numbered = [{"id": number, **annotation} for number, annotation in enumerate(annotations, start=1)]
    content = COCO()
    content.dataset = {"images": images, "annotations": numbered, "categories": categories}
    content.createIndex()
    return content
