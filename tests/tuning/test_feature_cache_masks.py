"""Cached features of images with masks: a mask's crop is cached with the maps of its image's crop."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from watching import fit_watched

from resnet_tl.data.segmentation import MaskFolder
from resnet_tl.models.heads.segmentation.fcn import FCNHead
from resnet_tl.models.inference import Inference
from resnet_tl.models.network import Backbone
from resnet_tl.structures.records import Features
from resnet_tl.tasks.segmentation import Segmentation
from resnet_tl.tuning.plan import Phase, Tuning
from resnet_tl.tuning.rates import Optimizer

SAMPLES = Path(__file__).parents[2] / "data" / "samples" / "segmentation"


def fit(folder: Path, cache: str, **options: Any) -> SimpleNamespace:
    data = MaskFolder(
        str(SAMPLES), image_size=32, short=48, batch_size=4, num_workers=0, seed=3, cache_dir=str(folder / "cache")
    )
    torch.manual_seed(0)
    plan = Tuning([Phase(["layer4", "head"])], cache=cache, views=2, allow_untrained=True)  # type: ignore[arg-type]
    backbone = Backbone("resnet_tiny", output_stride=8)
    task = Segmentation(data.classes, backbone, head=FCNHead, tuning=plan, optimizer=Optimizer(lr=0.05), **options)
    watch, metrics = fit_watched(task, data, folder, limit_train_batches=4)
    return SimpleNamespace(task=task, metrics=metrics, watch=watch)


def test_a_cached_run_is_the_uncached_one(tmp_path: Path) -> None:
    cached, plain = (fit(tmp_path, cache) for cache in ("on", "off"))
    assert all(cached.watch.kinds)
    assert not any(plain.watch.kinds)
    for one, other in zip(cached.watch.batches, plain.watch.batches, strict=True):
        for name in ("indices", "targets", "sizes", "original_sizes"):
            assert torch.equal(getattr(one, name), getattr(other, name)), name
    assert any((batch.targets == 255).any() for batch in plain.watch.batches), "some crops are padded"
    for name in ("val/loss", "val/miou"):
        assert cached.metrics[name] == pytest.approx(plain.metrics[name], rel=1e-4)
    for key, value in cached.task.state_dict().items():
        torch.testing.assert_close(value, plain.task.state_dict()[key], rtol=1e-4, atol=1e-5)


def test_validation_by_tiles_is_not_cached(tmp_path: Path) -> None:
    run = fit(tmp_path, "on", inference=Inference(flip=True))
    assert all(run.watch.kinds)
    assert not any(isinstance(batch.images, Features) for batch in run.watch.validated)
