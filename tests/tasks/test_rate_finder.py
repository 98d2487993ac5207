"""The learning-rate finder changes neither task nor data."""

from __future__ import annotations

import hashlib
import math
import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning import Trainer

from resnet_tl.data.classification import ImageFolder
from resnet_tl.errors import RunError
from resnet_tl.models.network import Backbone
from resnet_tl.tasks.classification import Classification
from resnet_tl.tasks.rate_finder import _curve, find_rate
from resnet_tl.tuning.plan import Phase, Tuning
from resnet_tl.tuning.rates import Optimizer

SAMPLES = Path(__file__).parents[2] / "data" / "samples" / "classification"


def digest(value: Any) -> str:
    return hashlib.sha256(pickle.dumps(plain(value))).hexdigest()


def plain(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return (str(value.dtype), tuple(value.shape), value.detach().cpu().contiguous().numpy().tobytes())
    if isinstance(value, dict):
        return [(str(key), plain(item)) for key, item in value.items()]
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else repr(value)


def everything(task: Classification, images: ImageFolder, trainer: Trainer) -> dict[str, str]:
    """Hashes of everything that must not change."""
    loader: Any = trainer.train_dataloader
    return {
        "weights and buffers": digest(task.state_dict()),
        "phase": digest(
            [(name, p.requires_grad, p.grad is None) for name, p in task.named_parameters()]
            + [(name, part.training, "train" in vars(part)) for name, part in task.named_modules()]
        ),
        "optimizer": digest(trainer.optimizers[0].state_dict()),
        "schedule": digest(trainer.lr_scheduler_configs[0].scheduler.state_dict()),
        "generators": digest([random.getstate(), np.random.get_state(), torch.get_rng_state()]),
        "loader": digest([loader.generator.get_state(), list(loader.sampler)]),
        "data": digest([len(images._opened.datasets), id(images.trainer), images.image_size]),
        "task": digest([id(task.trainer), task.tuning]),
    }


def test_nothing_changes_and_a_rate_that_learns_is_found(tmp_path: Path) -> None:
    torch.manual_seed(0)
    images = ImageFolder(SAMPLES, image_size=16, crop=1.0, batch_size=20, num_workers=0, seed=3)
    tuning = Tuning([Phase(["head"])], allow_untrained=True, ema=0.9)
    task = Classification(images.classes, backbone=Backbone("resnet_tiny"), tuning=tuning, optimizer=Optimizer(lr=0.1))
    trainer = Trainer(
        max_epochs=1, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False, default_root_dir=tmp_path, limit_val_batches=1, num_sanity_val_steps=0,
    )  # fmt: skip
    trainer.fit(task, images)
    before = everything(task, images, trainer)
    curve = find_rate(task, images, Phase(), steps=60, accelerator="cpu", default_root_dir=tmp_path)
    assert everything(task, images, trainer) == before
    assert len(curve.rates) == len(curve.losses) <= 60
    assert 1e-3 < curve.suggestion < 1
    assert min(curve.losses) < curve.losses[0]


def test_the_suggestion_is_where_the_loss_falls_fastest() -> None:
    rates = [10 ** (-6 + 7 * step / 99) for step in range(100)]
    losses = [2 - 1 / (1 + math.exp(-4 * (math.log10(rate) + 2))) + max(math.log10(rate), 0) * 9 for rate in rates]
    curve = _curve(rates, losses)
    assert 1e-2 < curve.suggestion < 10**-1.2  # smoothing lags behind by a few steps


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_too_few_steps_are_an_error(steps: int) -> None:
    nothing: Any = None
    with pytest.raises(RunError, match=f"steps is {steps}, expected 4 or more"):
        find_rate(nothing, nothing, Phase(), steps=steps)


def test_four_steps_are_enough() -> None:
    assert _curve([1e-3, 1e-2, 1e-1, 1.0], [4.0, 3.0, 1.0, 0.5]).suggestion == 1e-1


def test_a_loss_that_never_falls_is_an_error() -> None:
    with pytest.raises(RunError, match="no rate from 1e-06 on lowered the loss"):
        _curve([1e-6, 1e-5, 1e-4, 1e-3], [1.0, 2.0, 3.0, math.nan])
