"""Validation images with boxes and masks of objects, for W&B."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from resnet_tl.models.pasting import paste
from resnet_tl.structures.masks import to_pixels
from resnet_tl.structures.records import Batch, Boxes, Detections
from resnet_tl.tracking.loggers.images import IMAGES, Images

Overlay = dict[str, Any]
"""As `wandb.Image` takes it for `boxes` or `masks`."""


class BoxImages(Images):
    """True and predicted objects. A detection task returns `{"detections": Detections}`, in pixels of the batch's
    images, from its `validation_step`, and `aligned`: how
    their masks are pasted."""

    key = "val/objects"

    def can_overlay(self, outputs: Any) -> bool:
        return isinstance(outputs, dict) and "detections" in outputs

    def overlays(self, outputs: dict[str, Any], batch: Batch, classes: list[str]) -> dict[str, list[Any]]:
        boxes, masks = [], []
        aligned = outputs.get("aligned", False)
        for index, true in enumerate(batch.targets.split(len(batch))[:IMAGES]):
            size: tuple[int, int] = tuple(batch.sizes[index].tolist())
            predicted = _of_image(outputs["detections"], index)
            boxes.append({"prediction": _boxes(predicted, classes), "ground_truth": _boxes(true, classes)})
            if predicted.masks is not None:
                pasted = zip(predicted.masks, predicted.boxes, strict=True)
                predicted_masks = [_whole_image(mask, box, size, aligned) for mask, box in pasted]
                true_masks = [to_pixels(mask, *size) for mask in true.masks or []]
                masks.append(
                    {
                        "prediction": _masks(predicted_masks, predicted.labels, classes, size),
                        "ground_truth": _masks(true_masks, true.labels, classes, size),
                    }
                )
        return {"boxes": boxes, "masks": masks} if masks else {"boxes": boxes}


def _of_image(detections: Detections, index: int) -> Detections:
    """The detections of one image, without padding (label -1)."""
    real = detections.labels[index] >= 0
    boxes, scores, labels = (part[index][real].cpu() for part in detections[:3])
    masks = None if detections.masks is None else detections.masks[index][real].float().cpu()
    return Detections(boxes.float(), scores.float(), labels, masks)


def _whole_image(mask: Tensor, box: Tensor, size: tuple[int, int], aligned: bool) -> np.ndarray:
    """Pastes a box's mask into an image of `size` (h, w): `[H, W]` bool."""
    pixels, top, left = paste(mask, box, size, aligned=aligned)
    whole = np.zeros(size, bool)
    whole[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return whole


def _boxes(objects: Boxes | Detections, names: list[str]) -> Overlay:
    scores = objects.scores.tolist() if isinstance(objects, Detections) else [1.0] * len(objects.labels)
    data = [
        {
            "position": dict(zip(("minX", "minY", "maxX", "maxY"), corners, strict=True)),
            "domain": "pixel",
            "class_id": label,
            "box_caption": f"{names[label]} {score:.2f}" if isinstance(objects, Detections) else names[label],
            "scores": {"score": score},
        }
        for corners, label, score in zip(objects.boxes.tolist(), objects.labels.tolist(), scores, strict=True)
    ]
    return {"box_data": data, "class_labels": dict(enumerate(names))}


def _masks(pixels: list[np.ndarray], labels: Tensor, names: list[str], size: tuple[int, int]) -> Overlay:
    """One class per pixel, the first object on top; 0 is the background."""
    data = np.zeros(size, np.int32)
    for mask, label in reversed(list(zip(pixels, labels.tolist(), strict=True))):
        data[mask] = label + 1
    return {"mask_data": data, "class_labels": {0: "nothing", **dict(enumerate(names, start=1))}}
