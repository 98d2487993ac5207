"""Masks that are drawn are those that were counted."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from lightning.pytorch import Callback, LightningModule, Trainer

from resnet_tl.data.segmentation import MaskFolder
from resnet_tl.models.heads.segmentation.unet import UNetHead
from resnet_tl.models.network import Backbone
from resnet_tl.recipe.shipped import shipped_root
from resnet_tl.run.predicted_masks import MaskedImage, PredictedMasks
from resnet_tl.structures.evaluation import PixelEvaluation
from resnet_tl.tasks.segmentation import Segmentation
from resnet_tl.tuning.plan import Tuning


class Again(Callback):
    """Predicts every image of each validation again."""

    def __init__(self, masks: PredictedMasks) -> None:
        self.masks, self.epochs = masks, 0

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        evaluation = pl_module.evaluation
        assert isinstance(evaluation, PixelEvaluation)
        confusions = evaluation.confusions()
        for index, key in enumerate(evaluation.keys):
            image: MaskedImage = self.masks(str(key))
            assert image.pixels.shape[:2] == image.true.shape == image.predicted.shape
            counted = image.true != 255
            counts = np.zeros_like(confusions[index])
            np.add.at(counts, (image.true[counted], image.predicted[counted]), 1)
            np.testing.assert_array_equal(counts, confusions[index])
        self.epochs += 1


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_masks_are_predicted_again_as_validation_did(precision: Any) -> None:
    """With averaged weights, other sizes than the files', and batches that are padded."""
    data = MaskFolder(
        str(shipped_root() / "data/samples/segmentation"), image_size=32, short=24, batch_size=3, num_workers=0
    )
    task = Segmentation(
        data.classes, Backbone("resnet_tiny"), head=partial(UNetHead, channels=(8, 8, 8, 8, 8)),
        tuning=Tuning(ema=0.9),
    )  # fmt: skip
    again = Again(PredictedMasks(data, task))
    trainer = Trainer(
        max_epochs=2, limit_train_batches=2, accelerator="cpu", precision=precision, logger=False, callbacks=[again],
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )  # fmt: skip
    trainer.fit(task, datamodule=data)
    assert again.epochs == 2
