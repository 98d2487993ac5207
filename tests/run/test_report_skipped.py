"""Images that cannot be decoded are reported when they are met, once."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from PIL import Image

from resnet_tl.data.classification import ImageFolder
from resnet_tl.run.report_skipped import ReportSkipped


def test_they_are_reported_once_with_their_number(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "train" / name).mkdir(parents=True)
        for number in range(3):
            Image.new("RGB", (8, 8)).save(tmp_path / "train" / name / f"{number}.png")
    for number in (0, 2):
        (tmp_path / "train/dog" / f"{number}.png").write_bytes(b"no image")
    data = ImageFolder(str(tmp_path), val_fraction=1.0, on_error="skip", num_workers=0, image_size=8)
    report = ReportSkipped(data)
    end = (torch.nn.Identity(),) * 2
    with caplog.at_level(logging.INFO, "resnet_tl"):
        report.on_validation_end(*end)  # type: ignore[arg-type]
        assert not caplog.messages
        for _ in data.val_dataloader():
            pass
        report.on_validation_end(*end)  # type: ignore[arg-type]
        report.on_train_epoch_end(*end)  # type: ignore[arg-type]
    (line,) = caplog.messages
    assert line.startswith("skipped so far, as they cannot be decoded (data.on_error): 2 of 6 images; the first: ")
    assert line.partition("the first: ")[2].startswith(f"{tmp_path}/train/dog/0.png: ")
