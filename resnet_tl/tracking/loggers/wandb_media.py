"""Drawings and files as objects of Weights & Biases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from resnet_tl.structures.records import IGNORE
from resnet_tl.tracking.loggers.drawings import (
    Calibration,
    Confusion,
    Drawing,
    LabelledBox,
    Picture,
    Pictures,
    Table,
)


def native(drawing: Drawing) -> Any:
    """Returns what `run.log` takes."""
    import wandb

    if isinstance(drawing, Table):
        return wandb.Table(columns=[*drawing.columns], data=drawing.rows)
    if isinstance(drawing, Confusion):
        return _confusion(drawing)
    if isinstance(drawing, Calibration):
        lines = [drawing.accuracy, drawing.confidence]
        names = ["accuracy", "perfectly calibrated"]
        return wandb.plot.line_series(drawing.confidence, lines, names, "Calibration", "confidence")
    return _images(drawing)


def _confusion(drawing: Confusion) -> Any:
    """W&B's own chart, which counts predictions one by one, from counts."""
    import wandb

    columns: list[str | int] = ["Actual", "Predicted", "nPredictions"]
    named = [(drawing.names[true], drawing.names[guess], int(n)) for (true, guess), n in np.ndenumerate(drawing.counts)]
    fields = {name: name for name in ("Actual", "Predicted", "nPredictions")}
    table = wandb.Table(columns=columns, data=named)
    return wandb.plot_table("wandb/confusion_matrix/v1", table, fields, {"title": "Confusion matrix"})


def _images(drawing: Pictures) -> list[Any]:
    """All of one size, as W&B expects of a list: padded at the right and below."""
    import wandb

    names = dict(enumerate(drawing.classes))
    height, width = np.max([picture.pixels.shape[:2] for picture in drawing.pictures], 0)
    images = []
    for picture in drawing.pictures:
        h, w = picture.pixels.shape[:2]
        missing = ((0, height - h), (0, width - w))
        boxes, masks = _boxes(picture, names, (w / width, h / height)), _masks(picture, names, missing)
        pixels = np.pad(picture.pixels, (*missing, (0, 0)))
        images.append(wandb.Image(pixels, caption=picture.caption, boxes=boxes, masks=masks, file_type="jpg"))
    return images


def _masks(picture: Picture, names: dict[int, str], missing: tuple[tuple[int, int], ...]) -> dict[str, Any] | None:
    masks = {"ground_truth": picture.true_mask, "prediction": picture.predicted_mask}
    labels = {**names, IGNORE: "ignored"}
    return {
        name: {"mask_data": np.pad(mask, missing, constant_values=IGNORE), "class_labels": labels}
        for name, mask in masks.items()
        if mask is not None
    } or None


def _boxes(picture: Picture, names: dict[int, str], scale: tuple[float, float]) -> dict[str, Any] | None:
    if not (picture.true or picture.predicted):
        return None
    groups = {"ground_truth": picture.true, "prediction": picture.predicted}
    return {
        name: {"box_data": [_box(box, names, scale) for box in boxes], "class_labels": names}
        for name, boxes in groups.items()
    }


def _box(box: LabelledBox, names: dict[int, str], scale: tuple[float, float]) -> dict[str, Any]:
    (x1, y1, x2, y2), (across, down) = box.corners, scale
    return {
        "position": {"minX": x1 * across, "minY": y1 * down, "maxX": x2 * across, "maxY": y2 * down},
        "class_id": box.label,
        "box_caption": names[box.label] if box.score is None else f"{names[box.label]} {box.score:.2f}",
        "scores": {"score": 1.0 if box.score is None else box.score},
    }


def artifact(name: str, kind: str, paths: list[Path], metadata: dict[str, Any]) -> Any:
    """Returns an artifact of files, which are not copied before they are sent."""
    import wandb

    made = wandb.Artifact(name, kind, metadata=metadata)
    for path in paths:
        made.add_file(str(path), policy="immutable", skip_cache=True)
    return made


def delete_superseded(collection: str) -> None:
    """Deletes the versions of a model that no alias names any more.

    Args:
        collection: `entity/project/name`.
    """
    import wandb

    for version in wandb.Api().artifacts("model", collection):
        if not version.aliases:
            version.delete()
