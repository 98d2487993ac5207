"""The images of a detector's validation in W&B."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch

from resnet_tl.structures.masks import to_run_lengths
from resnet_tl.structures.records import Batch, Boxes, Detections
from resnet_tl.tracking.loggers.box_images import BoxImages
from resnet_tl.tracking.loggers.build import loggers
from resnet_tl.tracking.run_folder import RunFolder
from resnet_tl.tracking.settings import Tracking


def batch(index: int) -> Batch:
    """An image of 20 x 30 on 32 x 32 pixels, one object in its corner; and a filler."""
    images = torch.full((2, 3, 32, 32), index, dtype=torch.uint8)
    mask = np.zeros((20, 30), bool)
    mask[:5, :4] = True
    zero = torch.zeros(1, dtype=torch.long)
    boxes = Boxes(torch.tensor([[0.0, 0, 4, 5]]), zero + 1, zero, zero > 0, zero + 20.0, [to_run_lengths(mask)])
    sizes = torch.tensor([[20, 30], [32, 32]])
    return Batch(images, boxes, sizes, sizes, torch.tensor([index, -1]))


def detections(masks: bool) -> Detections:
    boxes = torch.tensor([[[1.0, 2, 11, 12], [0, 0, 0, 0]]] * 2)
    scores, labels = torch.tensor([[0.75, 0.0]] * 2), torch.tensor([[0, -1]] * 2)
    return Detections(boxes, scores, labels, torch.ones(2, 2, 28, 28) if masks else None)


def sent(monkeypatch: pytest.MonkeyPatch, run: Path, outputs: Any) -> list[tuple[Any, int]]:
    """What W&B gets from a validation of three batches."""
    run.mkdir()
    logger, calls = loggers(Tracking(wandb=True), RunFolder(run))[1], []
    monkeypatch.setattr(type(logger), "log_metrics", lambda self, metrics, step: calls.append((metrics, step)))
    trainer: Any = SimpleNamespace(loggers=[logger], global_step=8, sanity_checking=False)
    module: Any = SimpleNamespace(classes=["cat", "dog"])
    for index in range(3):
        BoxImages().on_validation_batch_end(trainer, module, outputs, batch(index), index)
    return calls


def test_the_first_images_with_both_overlays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = {"detections": detections(True), "aligned": True}
    ((metrics, step),) = sent(monkeypatch, tmp_path / "run", outputs)
    assert step == 7
    image, filler = metrics["val/objects"]
    assert np.asarray(image.image).shape == (20, 30, 3)
    predicted, true = (image._boxes[name]._val for name in ("prediction", "ground_truth"))
    assert predicted[0]["position"] == {"minX": 1, "minY": 2, "maxX": 11, "maxY": 12}
    assert (predicted[0]["box_caption"], predicted[0]["scores"]) == ("cat 0.75", {"score": 0.75})
    assert (true[0]["class_id"], true[0]["box_caption"]) == (1, "dog")
    assert len(filler._boxes["ground_truth"]._val) == 0
    masks = {name: np.asarray(PIL.Image.open(mask._path)) for name, mask in image._masks.items()}
    assert (masks["ground_truth"][:5, :4] == 2).all()
    assert masks["ground_truth"].sum() == 40
    assert (masks["prediction"][2:12, 1:11] == 1).all()
    assert masks["prediction"].sum() == 100, "pasted by the convention of the head"


def test_boxes_alone_and_other_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ((metrics, _),) = sent(monkeypatch, tmp_path / "run", {"detections": detections(False)})
    assert not metrics["val/objects"][0]._masks
    assert sent(monkeypatch, tmp_path / "other", None) == []
