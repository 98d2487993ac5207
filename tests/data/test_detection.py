"""Detection's data modules, from files to batches."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from resnet_tl.data.detection import CocoDetection, DetectionData, VOCDetection
from resnet_tl.recipe.shipped import shipped_root
from resnet_tl.records import Batch

SAMPLES = shipped_root() / "data" / "samples" / "detection"


def assert_in_order(batch: Batch, data: DetectionData) -> None:
    targets, sizes = batch.targets, batch.sizes
    height, width = batch.images.shape[2:]
    assert batch.images.dtype == torch.uint8
    assert (height % 32, width % 32) == (0, 0)
    assert (sizes <= torch.tensor([height, width])).all()
    for picture, (h, w) in zip(batch.images, sizes.tolist(), strict=True):
        assert not picture[:, h:].any()
        assert not picture[:, :, w:].any()
    assert targets.boxes.dtype == targets.area.dtype == torch.float32
    assert targets.labels.dtype == targets.image.dtype == torch.int64
    assert (targets.image.diff() >= 0).all()
    assert (targets.boxes >= 0).all()
    assert (targets.boxes <= sizes[targets.image][:, [1, 0, 1, 0]]).all()
    assert (targets.boxes[:, 2:] > targets.boxes[:, :2]).all()
    assert ((targets.labels >= 0) & (targets.labels < len(data.classes))).all()


def test_our_samples_as_batches() -> None:
    data = CocoDetection(str(SAMPLES), image_size=64, batch_size=6, num_workers=0, scale=(0.5, 2.0))
    assert data.classes == ["bird", "car", "cat", "horse", "truck"]
    assert data.codes == [1, 2, 3, 4, 5]
    assert data.class_counts().tolist() == [10, 14, 15, 14, 10]
    seen = 0
    for batch in data.train_dataloader():
        assert_in_order(batch, data)
        assert len(batch.targets.masks) == len(batch.targets)
        seen += len(batch)
    assert seen == 24, "the one that shows nothing too"
    for batch in data.val_dataloader():
        assert_in_order(batch, data)
        assert (batch.sizes == torch.tensor([64, 80])).all()
        assert (batch.original_sizes == torch.tensor([128, 160])).all()


def test_blood_cells(shared_data: Path) -> None:
    data = VOCDetection(str(shared_data / "bccd"), image_size=320, batch_size=4, num_workers=0)
    assert data.classes == ["Platelets", "RBC", "WBC"]
    assert data.class_counts().tolist() == [209, 2382 - 1, 214]
    (degenerate,) = (note for note in data.notes if "degenerate" in note)
    assert "left out (2)" in degenerate
    assert "BloodImage_00338.xml: object 13 (RBC) at [504, 337, 504, 337]" in degenerate
    assert "BloodImage_00343.xml: object 4 (RBC) at [181, 329, 181, 329]" in degenerate
    batch = next(iter(data.train_dataloader()))
    assert_in_order(batch, data)
    assert batch.targets.masks is None
    assert (batch.sizes == torch.tensor([320, 427])).all()


def test_coco_itself(shared_data: Path) -> None:
    data = CocoDetection(str(shared_data / "coco128"), image_size=128, batch_size=128, num_workers=0, val_fraction=1)
    assert len(data.classes) == 80
    assert (data.codes[0], data.codes[-1]) == (1, 90)
    (note,) = data.notes[:1]
    assert note == f"{shared_data}/coco128: 128 val (parted here); no test split: val stands in"
    (batch,) = data.val_dataloader()
    assert_in_order(batch, data)
    assert len(batch.targets) == 939
    assert batch.targets.crowd.sum() == 10
    assert len(set(batch.targets.image.tolist())) == 126, "two pictures show nothing"
    with pytest.raises(Exception, match="checkpoint"):
        CocoDetection(str(shared_data / "coco128"), classes=["cat"])
