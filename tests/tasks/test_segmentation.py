"""The engine under segmentation: freezing, caching and mixing, as in classification."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lightning import Callback, Trainer
from PIL import Image
from torch import Tensor

from resnet_tl.data.segmentation import MaskFolder
from resnet_tl.models.heads.segmentation.semantic_fpn import SemanticFPNHead
from resnet_tl.models.heads.segmentation.unet import UNetHead
from resnet_tl.models.network import Backbone
from resnet_tl.models.pyramid import FPN
from resnet_tl.structures.records import Batch, Features
from resnet_tl.tasks.segmentation import Segmentation
from resnet_tl.tuning.plan import Phase, Tuning
from resnet_tl.tuning.rates import Optimizer

HEADS = {
    "unet": {"head": partial(UNetHead, channels=(16, 16, 8, 8, 8))},
    "fpn": {"neck": partial(FPN, channels=8), "head": partial(SemanticFPNHead, channels=8)},
}


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    """Six images to train on and three to validate on, 40 x 56, which contain their masks' three classes."""
    draw = np.random.default_rng(0)
    for split, count in (("train", 6), ("val", 3)):
        for kind in ("images", "masks"):
            (tmp_path / "set" / split / kind).mkdir(parents=True)
        for number in range(count):
            mask = np.kron(draw.integers(0, 3, (5, 7), np.uint8), np.ones((8, 8), np.uint8))
            image = np.repeat(mask[..., None] * 80, 3, axis=2) + draw.integers(0, 60, (40, 56, 3), np.uint8)
            Image.fromarray(image).save(tmp_path / "set" / split / "images" / f"{number}.png")
            Image.fromarray(mask).save(tmp_path / "set" / split / "masks" / f"{number}.png")
    (tmp_path / "set" / "classes.txt").write_text("sky\nroad\ncar\n")
    return tmp_path / "set"


class Watch(Callback):
    """Records the network's batches."""

    def __init__(self) -> None:
        self.trained: list[Batch] = []
        self.validated: list[Batch] = []

    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Batch, batch_idx: int) -> None:
        self.trained.append(batch)

    def on_validation_batch_start(self, trainer: Any, pl_module: Any, batch: Batch, *_: Any) -> None:
        self.validated.append(batch)


def fit(masks: Path, tuning: Tuning, kind: str = "unet", epochs: int = 2, **data: Any) -> SimpleNamespace:
    options = {"image_size": (32, 64), "batch_size": 2, "num_workers": 0, "seed": 3, "augment": "none"}
    images = MaskFolder(str(masks), **{**options, "cache_dir": str(masks.parent / "cache"), **data})
    torch.manual_seed(0)
    tuning.allow_untrained = True
    task = Segmentation(
        images.classes, Backbone("resnet_tiny", zero_init_last=False), tuning=tuning, optimizer=Optimizer(lr=0.05),
        **HEADS[kind],
    )  # fmt: skip
    watch, before = Watch(), {name: value.clone() for name, value in task.state_dict().items()}
    run = Trainer(
        max_epochs=epochs, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False, default_root_dir=masks.parent, num_sanity_val_steps=0, callbacks=[watch],
    )  # fmt: skip
    run.fit(task, images)
    metrics = {name: float(value) for name, value in run.callback_metrics.items()}
    cached = sorted((masks.parent / "cache").glob("*.features"))
    return SimpleNamespace(task=task, before=before, metrics=metrics, watch=watch, data=images, cached=cached)


def weights(run: SimpleNamespace) -> Tensor:
    return torch.cat([value.flatten().double() for value in run.task.state_dict().values()])


def assert_same_training(cached: SimpleNamespace, plain: SimpleNamespace) -> None:
    assert all(isinstance(batch.images, Features) for batch in cached.watch.trained)
    assert all(isinstance(batch.images, Tensor) for batch in plain.watch.trained)
    for name in ("trained", "validated"):
        for one, other in zip(getattr(cached.watch, name), getattr(plain.watch, name), strict=True):
            for part in ("indices", "targets", "sizes", "original_sizes"):
                assert torch.equal(getattr(one, part), getattr(other, part)), part
    for name in ("val/loss", "val/miou", "train/loss"):
        assert cached.metrics[name] == pytest.approx(plain.metrics[name], rel=1e-4)
    torch.testing.assert_close(weights(cached), weights(plain), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("kind", "trained"), [("unet", ["layer4", "head"]), ("fpn", ["neck", "head"])])
def test_frozen_stages_do_not_change_and_a_cached_run_is_the_uncached_one(
    masks: Path, kind: str, trained: list[str]
) -> None:
    """Images that are the same in every epoch, by `augment: none`."""
    phase = Phase(trained)
    cached, plain = (fit(masks, Tuning([phase], cache=cache), kind) for cache in ("on", "off"))
    assert_same_training(cached, plain)
    for run in (cached, plain):
        frozen = ("network.trunk.", "network.mean", "network.std")
        moved = {name for name, value in run.task.state_dict().items() if not torch.equal(value, run.before[name])}
        assert moved
        free = tuple(f"network.trunk.{stage}" for stage in trained)
        assert not [name for name in moved if name.startswith(frozen) and not name.startswith(free)]


def test_an_image_is_evaluated_without_padding_whatever_its_batch() -> None:
    """As prediction sees it."""
    task = Segmentation(
        ["sky", "road", "car"], Backbone("resnet_tiny", norm="group", zero_init_last=False), **HEADS["unet"]
    ).eval()
    sizes = torch.tensor([[40, 30], [64, 64], [40, 30], [64, 20]])
    images = torch.zeros(4, 3, 64, 64, dtype=torch.uint8)
    for image, (height, width) in zip(images, sizes.tolist(), strict=True):
        image[:, :height, :width] = torch.randint(0, 256, (3, height, width), dtype=torch.uint8)
    batch = Batch(images, torch.full((4, 64, 64), 255, dtype=torch.uint8), sizes, sizes, torch.arange(4))
    with torch.inference_mode():
        _, masks = task.predict_step(batch, 0)
        for image, mask, (height, width) in zip(images, masks, sizes.tolist(), strict=True):
            alone = task(image[None, :, :height, :width])[0].argmax(0)
            assert (mask[:height, :width] == alone).float().mean() > 0.999
