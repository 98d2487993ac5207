"""COCO's own evaluation, of boxes or of masks, by faster-coco-eval."""

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
"""Our names of COCO's twelve numbers, in its order."""

Annotation = dict[str, Any]
"""As a COCO json has them, without `id`; detections with `score`, masks as compressed run lengths."""


class CocoScores(NamedTuple):
    """numbers: by the names in `NAMES`, 0...1, or -1 where no object is of that kind. precision: `[10, 101, K]` by IoU
    threshold (0.5, 0.55, ... 0.95), recall (0, 0.01, ... 1) and class; -1 of classes that have no object."""

    numbers: dict[str, float]
    precision: npt.NDArray[np.float64]


def evaluate(
    images: list[Annotation],
    found: list[Annotation],
    true: list[Annotation],
    classes: int,
    kind: Literal["bbox", "segm"],
) -> CocoScores:
    """
    Args:
        images: `{id}`, of masks with `height` and `width`; those without objects or detections too.
        found, true: on them. Their categories are 0 ... `classes` - 1.
        kind: whether boxes overlap or masks.
    """
    categories = [{"id": number} for number in range(classes)]
    truth, said = (_set_of(images, annotations, categories) for annotations in (true, found))
    evaluation = COCOeval_faster(truth, said, kind)
    evaluation.rle_iou_max_workers = 1  # the threads of 1.8.0 were seen to wait for each other for ever
    evaluation.run()
    numbers = dict(zip(NAMES, map(float, evaluation.stats), strict=True))
    return CocoScores(numbers, evaluation.eval["precision"][:, :, :, 0, -1])


def encode(mask: Mask, height: int, width: int) -> bytes:
    """COCO's compressed run lengths; of polygons as COCO itself fills them."""
    if isinstance(mask, RunLengths):
        rle = coco_masks.frPyObjects({"size": list(mask.size), "counts": mask.counts.tolist()}, *mask.size)
    else:
        polygons = [corners.astype(np.float64).ravel().tolist() for corners in mask]
        rle = coco_masks.merge(coco_masks.frPyObjects(polygons, height, width))
    counts: str | bytes = rle["counts"]
    return counts if isinstance(counts, bytes) else counts.encode()


def area(segmentation: dict[str, Any]) -> float:
    """In pixels, of compressed run lengths."""
    return float(coco_masks.area(segmentation))


def _set_of(images: list[Annotation], annotations: list[Annotation], categories: list[Annotation]) -> COCO:
    numbered = [{"id": number, **annotation} for number, annotation in enumerate(annotations, start=1)]
    content = COCO()
    content.dataset = {"images": images, "annotations": numbered, "categories": categories}
    content.createIndex()
    return content
