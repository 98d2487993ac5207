"""Cached features of images with objects: the objects are transformed again as with the cached images."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from watching import fit_watched

from resnet_tl.data.detection import CocoDetection
from resnet_tl.errors import DataError, RecipeError
from resnet_tl.models.heads.fcos import FCOS
from resnet_tl.models.heads.two_stage import MaskRCNN
from resnet_tl.models.network import Backbone
from resnet_tl.models.pyramid import FPN
from resnet_tl.structures.records import Batch, Features
from resnet_tl.tasks.detection import Detection
from resnet_tl.tuning.feature_cache import _without_padding
from resnet_tl.tuning.plan import Phase, Tuning
from resnet_tl.tuning.rates import Optimizer

SAMPLES = Path(__file__).parents[2] / "data" / "samples" / "detection"
HEADS: dict[str, Any] = {
    "fcos": (partial(FPN, channels=8, outputs=["p3", "p4", "p5"]), partial(FCOS, convs=1)),
    "mask": (partial(FPN, channels=8, outputs=["p3", "p4"]), partial(MaskRCNN, samples=16)),
}


def fit(folder: Path, cache: str, head: str = "fcos", views: int = 2, **options: Any) -> SimpleNamespace:
    data = CocoDetection(
        str(SAMPLES), image_size=64, batch_size=4, num_workers=0, seed=3, cache_dir=str(folder / "cache"), **options
    )
    torch.manual_seed(0)
    plan = Tuning([Phase(["layer4", "neck", "head"])], cache=cache, views=views, allow_untrained=True)  # type: ignore[arg-type]
    neck, head_of = HEADS[head]
    task = Detection(
        data.classes, Backbone("resnet_tiny"), neck=neck, head=head_of, tuning=plan, optimizer=Optimizer(lr=0.01)
    )
    watch, metrics = fit_watched(task, data, folder, limit_train_batches=4)
    return SimpleNamespace(task=task, metrics=metrics, watch=watch)


@pytest.mark.parametrize("head", ["mask", pytest.param("fcos", marks=pytest.mark.slow)])
def test_a_cached_run_is_the_uncached_one(head: str, tmp_path: Path) -> None:
    cached, plain = (fit(tmp_path, cache, head) for cache in ("on", "off"))
    assert all(cached.watch.kinds)
    assert not any(plain.watch.kinds)
    assert any(isinstance(batch.images, Features) for batch in cached.watch.validated)
    for one, other in zip(cached.watch.batches, plain.watch.batches, strict=True):
        for name in ("indices", "sizes", "original_sizes"):
            assert torch.equal(getattr(one, name), getattr(other, name)), name
        for name in ("boxes", "labels", "image", "crowd", "area"):
            assert torch.equal(getattr(one.targets, name), getattr(other.targets, name)), name
    for name in ("val/loss", "val/map"):
        assert cached.metrics[name] == pytest.approx(plain.metrics[name], rel=1e-3, abs=1e-5)
    for key, value in cached.task.state_dict().items():
        torch.testing.assert_close(value, plain.task.state_dict()[key], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("views", "options", "reason"),
    [
        (0, {}, "random mirroring changes the images in every epoch"),
        (0, {"augment": "none", "scale": (0.5, 2.0)}, "data.scale changes the images"),
        (2, {"mosaic": 0.5}, "data.mosaic composes images"),
    ],
)
def test_nothing_is_cached_after_what_changes_or_composes_images(
    views: int, options: dict, reason: str, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match=reason):
        fit(tmp_path, "on", views=views, **options)


def test_validation_images_of_several_sizes_are_not_cached() -> None:
    """Each would need padding, which evaluation does without."""
    sizes = torch.tensor([[48, 60], [60, 48]])
    batch = Batch(torch.zeros(2, 3, 64, 64), None, sizes, sizes, torch.arange(2))
    with pytest.raises(DataError, match=r"^validation images of different sizes: \[48, 60\] and \[60, 48\]"):
        _without_padding(batch, batch.images)  # type: ignore[arg-type]
    batch.sizes = sizes[[0, 0]]
    assert _without_padding(batch, batch.images).shape == (2, 3, 48, 60)  # type: ignore[arg-type]
