"""Fits with a regulariser on few images, on one rank of several or the only one.

As a program, started once a rank with Lightning's environment variables: `regularised.py FOLDER CASE...`.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from ranks_probe import digest

from resnet_tl.data.classification import ImageFolder
from resnet_tl.models.network import Backbone
from resnet_tl.run.teacher import read_teacher
from resnet_tl.structures.records import Features
from resnet_tl.tasks.classification import Classification
from resnet_tl.tuning.plan import Phase, Tuning
from resnet_tl.tuning.rates import Optimizer
from resnet_tl.tuning.regularisers.bi_tuning import BiTuning
from resnet_tl.tuning.regularisers.bss import BSS
from resnet_tl.tuning.regularisers.co_tuning import CoTuning
from resnet_tl.tuning.regularisers.delta import DELTA
from resnet_tl.tuning.regularisers.l2_sp import L2SP
from resnet_tl.tuning.regularisers.lwf import LwF
from resnet_tl.tuning.regularisers.stoch_norm import StochNorm

SAMPLES = Path(__file__).parents[2] / "data" / "samples" / "classification" / "train"
CIFAR = Backbone("resnet20_cifar", weights="builtin/resnet20_cifar10")
PHASES = [Phase(["head"], epochs=1), Phase(["layer3", "head"], epochs=1), Phase()]
EPOCHS, BATCHES = 3, 3

CASES: dict[str, Any] = {
    "L2SP": L2SP,
    "BSS": partial(BSS, strength=0.01, k=2),
    "StochNorm": StochNorm,
    "DELTA": DELTA,
    "LwF": LwF,
    "CoTuning": CoTuning,
    "BiTuning": partial(BiTuning, keys=3, projection=8),
}
WITHOUT_EFFECT: dict[str, Any] = {name: partial(CASES[name], 0.0) for name in CASES if name != "BSS"}
WITHOUT_EFFECT["BSS"] = partial(BSS, 0.0)
"""The same at strength 0."""


def photos(folder: Path) -> Path:
    """Two classes of six images, in `photos`."""
    for kind in ("cat", "ship"):
        (folder / "photos" / kind).mkdir(parents=True)
        for image in sorted((SAMPLES / kind).iterdir())[:6]:
            shutil.copy(image, folder / "photos" / kind)
    return folder / "photos"


class Record(Callback):
    """Of each step: terms of the loss, the trained parameters without gradient or with one that is not finite, whether
    images came as features; and a digest of the parameters after it."""

    def __init__(self) -> None:
        self.terms: list[dict[str, float]] = []
        self.faults: list[str] = []
        self.cached: list[bool] = []
        self.digests: list[str] = []

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self.cached.append(isinstance(batch.images, Features))

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for name, parameter in pl_module.named_parameters():
            if parameter.requires_grad and (parameter.grad is None or not parameter.grad.isfinite().all()):
                self.faults.append(name)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        values = trainer.callback_metrics
        self.terms.append({name: float(value) for name, value in values.items() if name.startswith("train/")})
        self.digests.append(digest(pl_module.parameters()))  # running statistics are made equal at validations


def task_of(
    classes: list[str], *regularisers: Any, tuning: dict[str, Any] | None = None, **model: Any
) -> Classification:
    torch.manual_seed(0)
    options: dict[str, Any] = {"phases": PHASES, "cache": "off", **(tuning or {})}
    plan = Tuning(regularisers=list(regularisers), **options)
    model = {"backbone": CIFAR, "optimizer": Optimizer(lr=0.02, weight_decay=1e-3), **model}
    return Classification(classes, tuning=plan, **model)


def fit(
    folder: Path,
    *regularisers: Any,
    ranks: int = 1,
    callbacks: list[Callback] | None = None,
    resume: Path | None = None,
    tuning: dict[str, Any] | None = None,
    micro_batch: int | None = None,
    trainer: dict[str, Any] | None = None,
    images: dict[str, Any] | None = None,
    **model: Any,
) -> tuple[Classification, Record]:
    """Returns the task after three phases of an epoch, 9 steps, and what was recorded of its steps.

    tuning, trainer, images: options of the plan, the Trainer and the data.
    """
    own: dict[str, Any] = {"augment": "none", **(images or {})}
    data = ImageFolder(
        str(folder / "photos"), image_size=32, crop=1.0, batch_size=4 // ranks, num_workers=0, seed=3,
        cache_dir=str(folder / "cache"), val_fraction=0.2, **own,
    )  # fmt: skip
    task, record = task_of(data.classes, *regularisers, tuning=tuning, **model), Record()
    if task.tuning.teacher is not None:
        task.teacher = read_teacher(task)
    task.micro_batches.size = micro_batch
    saves = any(isinstance(callback, Checkpoint) for callback in callbacks or [])
    options: dict[str, Any] = {"enable_checkpointing": saves, **(trainer or {})}
    Trainer(
        max_epochs=EPOCHS, accelerator="cpu", devices=ranks, strategy="ddp" if ranks > 1 else "auto", logger=False,
        enable_progress_bar=False, enable_model_summary=False, use_distributed_sampler=False, num_sanity_val_steps=0,
        default_root_dir=folder, log_every_n_steps=1, callbacks=[record, *(callbacks or [])], **options,
    ).fit(task, data, ckpt_path=resume, weights_only=True)  # fmt: skip
    return task, record


def main() -> None:
    folder, *names = sys.argv[1:]
    ranks, rank = int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_RANK"])
    found: dict[str, Any] = {}
    for name in names:
        _, record = fit(Path(folder), CASES[name], ranks=ranks)
        found[name] = {"digests": record.digests, "faults": record.faults}
    (Path(folder) / f"rank{rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
