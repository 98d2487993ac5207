"""The images of a segmenter's validation in W&B."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from resnet_tl.structures.records import IGNORE, Batch, Features
from resnet_tl.tracking.loggers.mask_images import MaskImages
from resnet_tl.tracking.loggers.wandb import Wandb


class Sent(Wandb):
    def __init__(self) -> None:
        self.calls: list[Any] = []

    def log_image(self, key: str, images: list[Any], step: int | None = None, **more: Any) -> None:
        self.calls.append((key, images, step, more["masks"]))


def batch(channels: int, dtype: torch.dtype) -> Batch:
    images = torch.full((6, channels, 8, 12), 7 if dtype == torch.uint8 else 7 << 8, dtype=torch.int32).to(dtype)
    targets = torch.full((6, 8, 12), IGNORE, dtype=torch.uint8)
    sizes = torch.tensor([[8, 12], [5, 9], *[[8, 12]] * 4])
    return Batch(images, targets, sizes, sizes, torch.arange(6))


@pytest.mark.parametrize(("channels", "dtype"), [(3, torch.uint8), (1, torch.uint8), (5, torch.uint16)])
def test_the_first_images_are_sent_without_padding_with_both_masks(channels: int, dtype: torch.dtype) -> None:
    logger = Sent()
    trainer: Any = SimpleNamespace(loggers=[logger], sanity_checking=False, global_step=41)
    task: Any = SimpleNamespace(classes=["sky", "road"])
    predicted = torch.ones(6, 8, 12, dtype=torch.uint8)
    callback = MaskImages()
    for number in range(2):
        callback.on_validation_batch_end(trainer, task, predicted, batch(channels, dtype), number)
    ((key, images, step, masks),) = logger.calls
    assert (key, step) == ("val/masks", 40)
    assert [image.shape for image in images] == [(8, 12, 3), (5, 9, 3), (8, 12, 3), (8, 12, 3)]
    assert all((image == 7).all() for image in images)
    assert masks[1]["prediction"]["mask_data"].tolist() == [[1] * 9] * 5
    assert masks[1]["ground_truth"]["mask_data"].tolist() == [[IGNORE] * 9] * 5
    assert masks[0]["prediction"]["class_labels"] == {0: "sky", 1: "road", IGNORE: "ignored"}


def test_nothing_is_sent_of_features_or_by_tasks_without_masks() -> None:
    logger = Sent()
    trainer: Any = SimpleNamespace(loggers=[logger], sanity_checking=False, global_step=40)
    inputs = batch(3, torch.uint8)
    MaskImages().on_validation_batch_end(trainer, None, None, inputs, 0)  # type: ignore[arg-type]
    inputs.images = Features({}, (8, 12), "layer3")
    MaskImages().on_validation_batch_end(trainer, None, torch.ones(6, 8, 12), inputs, 0)  # type: ignore[arg-type]
    assert logger.calls == []
