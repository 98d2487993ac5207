"""The sets of images, and the weights to start from, of `benchmarks low_data`."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import torch

import resnet_tl
from benchmarks.short_fits import QUICK, Overrides, quiet
from benchmarks.solved_head import Lite0
from resnet_tl.weights.files import save_weights
from resnet_tl.weights.records import WeightRecord

HALVES = ("airplane", "automobile", "bird", "cat", "deer"), ("dog", "frog", "horse", "ship", "truck")
"""The classes of CIFAR-10 that weights are trained on, and those that they are fine-tuned for; or the reverse."""
FEW, TESTED = 1000, 400
"""Images of each class of CIFAR-10 to fine-tune on, and to validate on."""
SOURCE_EPOCHS = 8
HELD_OUT = 0.4
"""Share of the training images that values are chosen on."""


@dataclass(frozen=True)
class ImageSet:
    """Images, a network, and how plain fine-tuning trains it.

    Args:
        title: its columns' name.
        prepare: (folder of --data, folder of --cache) -> `data.root`, a folder with train/ and val/, and the network.
        shots: training images of each class, by the percentage that they are; None: all.
        epochs, batch: by percentage.
        overrides: what else differs from `low_data_methods.PLAIN`.
        rates: of the optimizer, to choose from.
    """

    title: str
    prepare: Callable[[Path, Path], Overrides]
    shots: Mapping[int, int | None]
    epochs: Mapping[int, int]
    batch: Mapping[int, int]
    rates: Sequence[float]
    overrides: Overrides = field(default_factory=dict)

    def data(self, prepared: Overrides, percent: int, *, choosing: bool) -> Overrides:
        """Returns the overrides of images and network.

        choosing: on training images alone, of which those are held out for validation that the seed draws.
        """
        root = Path(prepared["data.root"])
        held_out = {"data.root": str(root / "train"), "data.val_fraction": HELD_OUT} if choosing else {}
        values = {"data.shots": self.shots[percent], "data.batch_size": self.batch[percent]}
        return {**prepared, **self.overrides, **values, "trainer.max_epochs": self.epochs[percent], **held_out}


def half_of_cifar10(first: bool, data: Path, cache: Path) -> Overrides:
    """One half of the classes, and a ResNet-20 trained on the other.

    first: whether the weights are of the first half.
    """
    known, new = HALVES if first else HALVES[::-1]
    root, file = cache / f"cifar10_{new[0]}", cache / f"resnet20_{known[0]}.ckpt"
    extract(data / "cifar10/train.zip", new, FEW, root / "train")
    extract(data / "cifar10/test.zip", new, TESTED, root / "val")
    if not file.exists():
        train_resnet20(data, cache, known, file)
    return {"data.root": str(root), **resnet20(file)}


def resnet20(file: Path | None) -> Overrides:
    return {"model.backbone.name": "resnet20_cifar", "model.backbone.weights": None if file is None else str(file)}


def train_resnet20(
    data: Path, cache: Path, classes: Sequence[str], file: Path, epochs: int = SOURCE_EPOCHS, count: int = 5000
) -> None:
    """Trains by classify/cifar10_resnet20_scratch for fewer epochs, with `data.augment: light` in place of its own
    transforms, on the first `count` images of each class, a fiftieth of them for validation, and keeps the last
    checkpoint."""
    images, run = cache / f"source_{file.stem}", cache / f"run_{file.stem}"
    extract(data / "cifar10/train.zip", classes, count, images)
    shutil.rmtree(run, ignore_errors=True)
    values = {
        "data.root": str(images),
        "data.val_fraction": 0.02,
        "data.train_transforms": None,
        "data.augment": "light",
        "data.cache": "off",
        "trainer.max_epochs": epochs,
        "trainer.check_val_every_n_epoch": epochs,
        "model.schedule.warmup_epochs": min(1, epochs / 4),
    }
    print(f"training {file.name}: {epochs} epochs of {count} images each of {', '.join(classes)}", flush=True)
    with quiet():
        found = resnet_tl.fit("classify/cifar10_resnet20_scratch", run=run, **{**QUICK, **values})
    print(f"{file.name}: {100 * found.final['val/acc']:.1f} % of its own classes", flush=True)
    (run / "checkpoints/last.ckpt").replace(file)
    for folder in (run, images):
        shutil.rmtree(folder)


def extract(archive: Path, classes: Sequence[str], count: int, folder: Path) -> None:
    """Writes the first `count` images of each class to `folder/<class>/`, unless that is done."""
    if folder.exists():
        return
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    with ZipFile(archive) as zipped:
        names = sorted(name for name in zipped.namelist() if not name.endswith("/"))
        for name in classes:
            (part / name).mkdir(parents=True)
            for member in [each for each in names if f"/{name}/" in each][:count]:
                (part / name / Path(member).name).write_bytes(zipped.read(member))
    part.rename(folder)


def ants_and_bees(network: Callable[[Path, Path], Overrides], data: Path, cache: Path) -> Overrides:
    return {"data.root": str(data / "hymenoptera"), **network(data, cache)}


def published(name: str, file: str, data: Path, cache: Path) -> Overrides:
    return {"model.backbone.name": name, "model.backbone.weights": str(data / "weights" / file)}


def lite0(data: Path, cache: Path) -> Overrides:
    """EfficientNet-Lite0, in a file with the names of `solved_head.Lite0`, its classifier and its preprocessing."""
    file, theirs = cache / "efficientnet_lite0.safetensors", data / "weights/efficientnet_lite0_in1k_fp16.pth"
    if not file.exists():
        trunk, content = Lite0(), torch.load(theirs, weights_only=True)
        trunk.load(theirs)
        classifier = {f"fc.{key}": content[f"_fc.{key}"].float() for key in ("weight", "bias")}
        cache.mkdir(parents=True, exist_ok=True)
        record = WeightRecord(theirs.name, preprocessing=trunk.preprocessing)
        save_weights({**trunk.state_dict(), **classifier}, record, file)
    return {"model.backbone.name": f"{Lite0.__module__}.Lite0", "model.backbone.weights": str(file)}


_OF_CIFAR: dict[str, Any] = {
    "shots": {10: 100, 25: 250, 50: 500, 100: None},
    "epochs": {10: 10, 25: 8, 50: 6, 100: 6},
    "batch": {10: 32, 25: 32, 50: 32, 100: 64},
    "rates": (0.01, 0.03, 0.1),
    "overrides": {"data.image_size": 32, "data.crop": 1.0},
}
_OF_ANTS_AND_BEES: dict[str, Any] = {"shots": {10: 12, 25: 31, 50: 61, 100: None}}
_AT_64: dict[str, Any] = {
    **_OF_ANTS_AND_BEES,
    "epochs": {10: 20, 25: 20, 50: 24, 100: 36},
    "batch": {10: 8, 25: 16, 50: 16, 100: 32},
    "rates": (0.005, 0.02, 0.05),
    "overrides": {"data.image_size": 64, "data.reduced_decoding": True},
}
SETS = {
    "cifar10": ImageSet("five classes of CIFAR-10, ResNet-20", partial(half_of_cifar10, True), **_OF_CIFAR),
    "cifar10_reverse": ImageSet("the other five of CIFAR-10", partial(half_of_cifar10, False), **_OF_CIFAR),
    "resnet56": ImageSet(
        "ants and bees, ResNet-56",
        partial(ants_and_bees, partial(published, "resnet56_cifar", "resnet56-4bfd9763.th")),
        **_AT_64,
    ),
    "resnet20": ImageSet(
        "ants and bees, ResNet-20",
        partial(ants_and_bees, partial(published, "resnet20_cifar", "resnet20-12fca82f.th")),
        **_AT_64,
    ),
    "lite0": ImageSet(
        "ants and bees, EfficientNet-Lite0",
        partial(ants_and_bees, lite0),
        epochs={10: 12, 25: 10, 50: 8, 100: 6},
        batch={10: 8, 25: 16, 50: 16, 100: 16},
        rates=(3e-4, 1e-3, 3e-3),
        overrides={
            "data.image_size": 224,
            "data.reduced_decoding": True,
            "model.optimizer.name": "adamw",
            "model.optimizer.weight_decay": 0.01,
            "model.tuning.norm": "frozen",
        },
        **_OF_ANTS_AND_BEES,
    ),
}
"""cifar10: 1,000 images of each of five classes, from weights that were trained on the other five, and the reverse to
check on what nothing was chosen on. The others: ants and bees from published weights, of CIFAR-10 at 64 pixels, of
ImageNet at 224."""
