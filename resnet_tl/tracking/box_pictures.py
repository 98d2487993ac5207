"""Validation's pictures with boxes and masks of objects, for W&B."""

from __future__ import annotations

from typing import Any

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from resnet_tl.masks import to_pixels
from resnet_tl.models.pasting import paste
from resnet_tl.records import Batch, Boxes, Detections
from resnet_tl.tracking.loggers import Wandb
from resnet_tl.tracking.mask_pictures import SHOWN, rgb

Overlay = dict[str, Any]
"""As `wandb.Image` takes it for `boxes` or `masks`."""


class BoxPictures(Callback):
    """Sends the first pictures of each validation to W&B, where there is such a logger, with true and found objects.

    A task that finds objects returns them, `{"found": Detections}` in pixels of the batch's pictures, from its
    `validation_step`.
    """

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        loggers = [logger for logger in trainer.loggers if isinstance(logger, Wandb)]
        if batch_idx or trainer.sanity_checking or not loggers:
            return
        if not (isinstance(outputs, dict) and "found" in outputs and isinstance(batch.images, Tensor)):
            return
        names: Any = pl_module.classes
        pictures, boxes, masks = [], [], []
        for index, true in enumerate(batch.targets.split(len(batch))[:SHOWN]):
            size: tuple[int, int] = tuple(batch.sizes[index].tolist())
            found = _of_picture(outputs["found"], index)
            pictures.append(rgb(batch.images[index, :, : size[0], : size[1]]))
            boxes.append({"prediction": _boxes(found, names), "ground_truth": _boxes(true, names)})
            if found.masks is not None:
                said = [_whole(mask, box, size) for mask, box in zip(found.masks, found.boxes, strict=True)]
                there = [to_pixels(mask, *size) for mask in true.masks or []]
                masks.append(
                    {
                        "prediction": _masks(said, found.labels, names, size),
                        "ground_truth": _masks(there, true.labels, names, size),
                    }
                )
        overlays = {"boxes": boxes, "masks": masks} if masks else {"boxes": boxes}
        for logger in loggers:
            logger.log_image("val/objects", pictures, trainer.global_step, **overlays)


def _of_picture(detections: Detections, index: int) -> Detections:
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
