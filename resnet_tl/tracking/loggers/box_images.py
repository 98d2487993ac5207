"""Validation's images with boxes and masks of objects, for W&B."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from resnet_tl.models.pasting import paste
from resnet_tl.structures.masks import to_pixels
from resnet_tl.structures.records import Batch, Boxes, Detections
from resnet_tl.tracking.loggers.images import SHOWN, Images

Overlay = dict[str, Any]
"""As `wandb.Image` takes it for `boxes` or `masks`."""


class BoxImages(Images):
    """True and found objects; a task that finds them returns `{"found": Detections}`, in pixels of the batch's
    images, from its `validation_step`."""

    key = "val/objects"

    def is_answer(self, outputs: Any) -> bool:
        return isinstance(outputs, dict) and "found" in outputs

    def overlays(self, outputs: dict[str, Detections], batch: Batch, classes: list[str]) -> dict[str, list[Any]]:
        boxes, masks = [], []
        for index, true in enumerate(batch.targets.split(len(batch))[:SHOWN]):
            size: tuple[int, int] = tuple(batch.sizes[index].tolist())
            found = _of_image(outputs["found"], index)
            boxes.append({"prediction": _boxes(found, classes), "ground_truth": _boxes(true, classes)})
            if found.masks is not None:
                said = [_whole(mask, box, size) for mask, box in zip(found.masks, found.boxes, strict=True)]
                there = [to_pixels(mask, *size) for mask in true.masks or []]
                masks.append(
                    {
                        "prediction": _masks(said, found.labels, classes, size),
                        "ground_truth": _masks(there, true.labels, classes, size),
                    }
                )
        return {"boxes": boxes, "masks": masks} if masks else {"boxes": boxes}


def _of_image(detections: Detections, index: int) -> Detections:
    """Without what fills up."""
    there = detections.labels[index] >= 0
    boxes, scores, labels = (part[index][there].cpu() for part in detections[:3])
    masks = None if detections.masks is None else detections.masks[index][there].float().cpu()
    return Detections(boxes.float(), scores.float(), labels, masks)


def _whole(mask: Tensor, box: Tensor, size: tuple[int, int]) -> np.ndarray:
    pixels, top, left = paste(mask, box, size)
    whole = np.zeros(size, bool)
    whole[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return whole


def _boxes(objects: Boxes | Detections, names: list[str]) -> Overlay:
    found = isinstance(objects, Detections)
    scores = objects.scores.tolist() if isinstance(objects, Detections) else [1.0] * len(objects.labels)
    data = [
        {
            "position": dict(zip(("minX", "minY", "maxX", "maxY"), corners, strict=True)),
            "domain": "pixel",
            "class_id": label,
            "box_caption": f"{names[label]} {score:.2f}" if found else names[label],
            "scores": {"score": score},
        }
        for corners, label, score in zip(objects.boxes.tolist(), objects.labels.tolist(), scores, strict=True)
    ]
    return {"box_data": data, "class_labels": dict(enumerate(names))}


def _masks(pixels: list[np.ndarray], labels: Tensor, names: list[str], size: tuple[int, int]) -> Overlay:
    """A class for every pixel, the first object's on top; 0 is none."""
    data = np.zeros(size, np.int32)
    for mask, label in reversed(list(zip(pixels, labels.tolist(), strict=True))):
        data[mask] = label + 1
    return {"mask_data": data, "class_labels": {0: "nothing", **dict(enumerate(names, start=1))}}
