"""Fits of three phases on one rank of several, or the only one, and digests of its weights.

As a program, started once a rank with Lightning's environment variables: `ranks_probe.py FOLDER CASE...`; the case
`evaluate` validates, tests and predicts; `cache` trains on cached features; `solved` from a solved head on.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np
import timm
import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset

from resnet_tl.data.classification import ImageFolder
from resnet_tl.data.loading.samplers import EvaluationSampler, TrainSampler
from resnet_tl.models.heads.classification import LinearHead
from resnet_tl.models.heads.regression import RegressionHead
from resnet_tl.models.heads.retinanet import RetinaNet
from resnet_tl.models.heads.segmentation.losses import CrossEntropy, Focal
from resnet_tl.models.heads.segmentation.unet import UNetHead
from resnet_tl.models.heads.two_stage import MaskRCNN
from resnet_tl.models.network import Backbone
from resnet_tl.models.pyramid import FPN
from resnet_tl.models.ranks import mean_over_ranks
from resnet_tl.run.ddp import configure_ddp
from resnet_tl.structures.records import IGNORE, Batch, Boxes, Draw, Features
from resnet_tl.tasks.classification import Classification
from resnet_tl.tasks.detection import Detection
from resnet_tl.tasks.regression import Regression
from resnet_tl.tasks.segmentation import Segmentation
from resnet_tl.tuning import compile as compiling
from resnet_tl.tuning import feature_cache
from resnet_tl.tuning.callback import FineTuning
from resnet_tl.tuning.plan import Phase, Tuning
from resnet_tl.tuning.rates import Optimizer
from resnet_tl.tuning.recalibration import recalibrate

COUNT, CLASSES, GLOBAL_BATCH = 24, 4, 12
PHASES = [Phase(["head"], epochs=1), Phase(["layer3", "head"], epochs=1, lr={"layer3": 0.1}), Phase(layer_decay=0.75)]


@dataclass(frozen=True)
class Case:
    """network: `ours`, `checkpointed`, `numbers`, `masks`, `objects`, `regions`, `timm`, `convnet`, `compiled ours`
    (`masks`, `objects`); ddp: `run` and `static`, as a run wraps it, or `plain`, as Lightning does; the rest as in a
    recipe."""

    network: str = "ours"
    norm: str = "train"
    ema: float | None = None
    ddp: str = "run"
    accumulate: int = 1
    precision: str = "32-true"

    @property
    def name(self) -> str:
        return "-".join(str(value) for value in asdict(self).values())

    @classmethod
    def of(cls, name: str) -> Case:
        network, norm, ema, ddp, accumulate, precision = name.split("-", 5)
        return cls(network, norm, None if ema == "None" else float(ema), ddp, int(accumulate), precision)


class Images(Dataset):
    """Noise with rare labels: one image in six shows a class, so that some rank's batch has no positive at all."""

    def __init__(self, count: int = COUNT) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, draw: Draw) -> tuple[Tensor, Tensor, int]:
        generator = torch.Generator().manual_seed(draw.index + 1)
        image = torch.randint(256, (3, 32, 32), dtype=torch.uint8, generator=generator)
        targets = torch.zeros(CLASSES)
        if draw.index % 6 == 0:
            targets[draw.index % CLASSES] = 1
        return image, targets, draw.index


def batch_of(items: list[tuple[Tensor, Tensor, int]]) -> Batch:
    images, targets, indices = zip(*items, strict=True)
    sizes = torch.full((len(items), 2), 32)
    return Batch(torch.stack(images), torch.stack(targets), sizes, sizes, torch.tensor(indices))


def masks_of(items: list[tuple[Tensor, Tensor, int]]) -> Batch:
    """Classes of pixels; five images in six are ignored, and part of the others."""
    batch = batch_of(items)
    masks = torch.full((len(items), 32, 32), IGNORE, dtype=torch.uint8)
    for mask, index in zip(masks, batch.indices.tolist(), strict=True):
        if index % 6 == 0:
            mask[: 8 + index] = torch.arange(32) % CLASSES
    return replace(batch, targets=masks)


def objects_of(items: list[tuple[Tensor, Tensor, int]]) -> Batch:
    """One object with a mask on one image in six, and a crowd on one in twelve."""
    batch, each = batch_of(items), []
    for index in batch.indices.tolist():
        corners = [[4, 2, 20, 26], [0, 16, 30, 32]][: (index % 6 == 0) + (index % 12 == 0)]
        number = torch.arange(len(corners))
        boxes = torch.tensor(corners, dtype=torch.float32).view(-1, 4)
        masks = [[np.array([[x0, y0], [x1, y0], [x1, y1]], np.float32)] for x0, y0, x1, y1 in corners]
        each.append(Boxes(boxes, number * 0 + index % CLASSES, number * 0, number > 0, number + 200.0, masks))
    return replace(batch, targets=Boxes.join(each))


def numbers_of(items: list[tuple[Tensor, Tensor, int]]) -> Batch:
    batch = batch_of(items)
    return replace(batch, targets=torch.stack([batch.indices / 10, (batch.indices % 5).float()], 1))


COLLATES: dict[str, Callable[..., Batch]] = {
    "numbers": numbers_of, "masks": masks_of, "objects": objects_of, "regions": objects_of,
}  # fmt: skip


def loaders(ranks: int, rank: int, collate: Callable[..., Batch] = batch_of) -> list[DataLoader]:
    batch_size = GLOBAL_BATCH // ranks
    train = TrainSampler(COUNT, seed=1, batch_size=batch_size, ranks=ranks, rank=rank)
    evaluate = EvaluationSampler(COUNT, ranks=ranks, rank=rank)
    return [DataLoader(Images(), batch_size, sampler=s, collate_fn=collate) for s in (train, evaluate)]


class Plain(LightningModule):
    """A user's module: one parameter group, nothing of this project."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        logits = self.net(batch.images.to(self.dtype) / 255)
        return nn.functional.binary_cross_entropy_with_logits(logits, batch.targets.to(logits.dtype))

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.net(batch.images.to(self.dtype) / 255)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.05, momentum=0.9, weight_decay=1e-2)


def timm_net() -> tuple[nn.Module, dict[str, Any]]:
    net = timm.create_model("resnet18", num_classes=CLASSES)
    return net, {
        "stem": ["net.conv1", "net.bn1"],
        **{f"layer{i}": f"net.layer{i}" for i in range(1, 5)},
        "head": "net.fc",
    }


def conv_net() -> tuple[nn.Module, dict[str, Any]]:
    def block(inputs: int, outputs: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(inputs, outputs, 3, 2, 1), nn.BatchNorm2d(outputs), nn.ReLU())

    blocks = [block(3, 8), block(8, 8), block(8, 16), block(16, 16)]
    net = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, CLASSES))
    return net, {"stem": "net.0", "layer1": "net.1", "layer2": "net.2", "layer3": "net.3", "head": "net.[456]"}


def build(network: str, tuning: Tuning) -> tuple[LightningModule, list[Callback]]:
    torch.manual_seed(0)
    if network in ("ours", "checkpointed"):
        backbone = Backbone("resnet20_cifar", checkpoint_segments=2 if network == "checkpointed" else 0)
        head = partial(LinearHead, multi_label=True, class_weights=[1.0, 2.0, 3.0, 4.0])
        task = Classification(list("abcd"), backbone, head, tuning, Optimizer("sgd", lr=0.05, weight_decay=1e-2))
        return task, []
    if network in ("numbers", "masks"):
        return (numbers_task if network == "numbers" else masks_task)(tuning), []
    if network in DETECTORS:
        return detection_task(network, tuning), []
    net, stages = {"timm": timm_net, "convnet": conv_net}[network]()
    return Plain(net), [FineTuning(tuning, stages)]


def numbers_task(tuning: Tuning) -> Regression:
    optimizer = Optimizer("sgd", lr=0.05, weight_decay=1e-2)
    return Regression(
        ["a", "b"], Backbone("resnet20_cifar"), partial(RegressionHead, loss="quantiles"), tuning, optimizer
    )


def masks_task(tuning: Tuning) -> Segmentation:
    losses = [partial(CrossEntropy, class_weights=[1.0, 2.0, 3.0, 4.0]), partial(Focal, weight=0.5)]
    head = partial(UNetHead, channels=(8, 8, 8, 8, 8), losses=losses)
    optimizer = Optimizer("sgd", lr=0.05, weight_decay=1e-2)
    return Segmentation(list("abcd"), Backbone("resnet_tiny"), head=head, tuning=tuning, optimizer=optimizer)


DETECTORS = {
    "objects": partial(RetinaNet, convs=1, norm="group", detections=20),
    "regions": partial(MaskRCNN, samples=8, detections=5),
}


def detection_task(kind: str, tuning: Tuning) -> Detection:
    neck = partial(FPN, channels=8, outputs=("p3", "p4", "p5"))
    optimizer = Optimizer("sgd", lr=0.01, weight_decay=1e-2)
    return Detection(list("abcd"), Backbone("resnet_tiny"), neck, DETECTORS[kind], tuning, optimizer)


def digest(tensors: Any) -> str:
    return hashlib.sha256(b"".join(t.detach().cpu().contiguous().numpy().tobytes() for t in tensors)).hexdigest()


class Watch(Callback):
    """Digests of parameters and buffers at every validation, and of a checkpoint in mid-epoch."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []
        self.wrappers: list[int] = []

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.seen.append(("validation", digest([*pl_module.parameters(), *pl_module.buffers()])))

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        saved = trainer._checkpoint_connector.dump_checkpoint()
        states = [saved[key] for key in ("state_dict", "raw_state_dict") if key in saved]
        self.seen.append(("save", digest(tensor for state in states for tensor in state.values())))
        self.wrappers.append(sum(type(thing) is DistributedDataParallel for thing in gc.get_objects()))


def fit(case: Case, ranks: int, rank: int, folder: Path) -> dict[str, Any]:
    phases = [*PHASES[:-1], replace(PHASES[-1], layer_decay_by="block")] if case.network == "ours" else PHASES
    tuning = Tuning(phases, norm=case.norm, ema=case.ema, allow_untrained=True)  # type: ignore[arg-type]
    if case.network.startswith("compiled "):
        tuning.compile = "all"
    module, callbacks = build(case.network.removeprefix("compiled "), tuning)
    watch = Watch()
    trainer = Trainer(
        max_epochs=3, accelerator="cpu", devices=ranks, strategy="ddp" if ranks > 1 else "auto", logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, precision=case.precision,
        use_distributed_sampler=False, num_sanity_val_steps=0, callbacks=[*callbacks, watch], default_root_dir=folder,
        accumulate_grad_batches=case.accumulate,
    )  # fmt: skip
    ddp = (
        ""
        if case.ddp == "plain"
        else configure_ddp(trainer, compiled=case.network.startswith("compiled "), redoes=case.ddp == "run")
    )
    with warnings.catch_warnings(record=True) as caught, quick_compiler():
        warnings.simplefilter("always")
        trainer.fit(module, *loaders(ranks, rank, COLLATES.get(case.network.removeprefix("compiled "), batch_of)))
    if rank == 0:
        torch.save(module.state_dict(), folder / f"{case.name}.pt")
    unused = [str(warning.message) for warning in caught if "unused" in str(warning.message)]
    return {"seen": watch.seen, "wrappers": watch.wrappers, "warnings": unused, "ddp": ddp}


@contextmanager
def quick_compiler() -> Iterator[None]:
    """Without inductor, which takes minutes and a C++ compiler; and phases compile from their first batch on."""
    compiler = torch.compile

    def quick(function: Any, *, options: Any = None, mode: Any = None, **others: Any) -> Any:
        return compiler(function, backend="aot_eager", **others)

    with patch.object(torch, "compile", quick), patch.object(compiling, "EAGER", 0):
        yield


EVALUATED = (1, 5, 7, 16)


def classes_of(items: list[tuple[Tensor, Tensor, int]]) -> Batch:
    """One class per image instead of several."""
    batch = batch_of(items)
    return replace(batch, targets=batch.indices.clamp(min=0) % CLASSES)


def evaluate(ranks: int, rank: int, folder: Path) -> dict[str, Any]:
    """Scores of validation and test, and the indices predicted on this rank, by kind of task and number of images."""
    found: dict[str, Any] = {}
    for kind, collate in (("classes", classes_of), ("labels", batch_of), *COLLATES.items()):
        torch.manual_seed(0)
        head = partial(LinearHead, multi_label=kind == "labels")
        classification = Classification(list("abcd"), Backbone("resnet20_cifar"), head)
        task = other_task(kind) or classification
        for count in EVALUATED:
            sampler = EvaluationSampler(count, ranks=ranks, rank=rank)
            loader = DataLoader(Images(count), 2, sampler=sampler, collate_fn=collate)
            trainer = Trainer(
                accelerator="cpu", devices=ranks, strategy="ddp" if ranks > 1 else "auto", logger=False,
                enable_progress_bar=False, use_distributed_sampler=False, default_root_dir=folder,
            )  # fmt: skip
            (validated,) = trainer.validate(task, loader, verbose=False)
            (tested,) = trainer.test(task, loader, verbose=False)
            predicted = [index for indices, _ in trainer.predict(task, loader) for index in indices.tolist()]
            found[f"{kind} {count}"] = {"scores": {**validated, **tested}, "predicted": predicted}
    return found


def other_task(kind: str) -> LightningModule | None:
    if kind in ("numbers", "masks"):
        return {"numbers": numbers_task, "masks": masks_task}[kind](Tuning())
    if kind not in DETECTORS:
        return None
    task = detection_task(kind, Tuning())
    if kind == "objects":
        torch.nn.init.zeros_(task.network.head.logits.bias)  # it finds something everywhere
    return task


def draw_images(folder: Path) -> None:
    """Noise of two classes, in `photos`."""
    generator = np.random.default_rng(0)
    for number in range(COUNT):
        path = folder / "photos" / ("train" if number < COUNT // 2 else "val") / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), generator.integers(0, 256, (32, 32, 3), np.uint8))


class Seen(Callback):
    """The images of each training batch, and whether they came as features."""

    def __init__(self) -> None:
        self.batches: list[tuple[list[int], bool]] = []

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int) -> None:
        self.batches.append((batch.indices.tolist(), isinstance(batch.images, Features)))


def cache(ranks: int, rank: int, folder: Path) -> dict[str, Any]:
    """Two phases on cached features, and statistics estimated again at the end."""
    data = ImageFolder(
        str(folder / "photos"), image_size=32, crop=1.0, augment="none", batch_size=4 // ranks, num_workers=0, seed=3,
        cache_dir=str(folder / "cache"),
    )  # fmt: skip
    torch.manual_seed(0)
    phases = [Phase(["head"], epochs=2), Phase(["layer3", "head"])]
    tuning = Tuning(phases, cache="on", recalibrate=2, allow_untrained=True)
    task = Classification(data.classes, Backbone("resnet20_cifar"), tuning=tuning)
    seen, written = Seen(), []
    write = feature_cache._write
    feature_cache._write = lambda path, *rest: (written.append(path.name), write(path, *rest))
    trainer = Trainer(
        max_epochs=4, accelerator="cpu", devices=ranks, strategy="ddp" if ranks > 1 else "auto", logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, callbacks=[seen],
        use_distributed_sampler=False, num_sanity_val_steps=0, default_root_dir=folder,
    )  # fmt: skip
    trainer.fit(task, data)
    feature_cache._write = write
    weights, loss = digest([*task.parameters(), *task.buffers()]), float(trainer.callback_metrics["val/loss"])
    return {"seen": seen.batches, "written": written, "weights": weights, "loss": loss}


def solved(ranks: int, rank: int, folder: Path) -> dict[str, Any]:
    """A phase that solves the head, and one that trains everything."""
    data = ImageFolder(
        str(folder / "photos"), image_size=32, crop=1.0, batch_size=4 // ranks, num_workers=0, seed=3,
        cache_dir=str(folder / "solved"),
    )  # fmt: skip
    torch.manual_seed(rank)  # of the head, until it is solved, and of the trunk, which DDP makes rank 0's
    tuning = Tuning([Phase(["head"], solver="lbfgs"), Phase()], ema=0.9, allow_untrained=True)
    task, watch = Classification(data.classes, Backbone("resnet20_cifar"), tuning=tuning), Watch()
    trainer = Trainer(
        max_epochs=2, accelerator="cpu", devices=ranks, strategy="ddp" if ranks > 1 else "auto", logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, callbacks=[watch],
        use_distributed_sampler=False, num_sanity_val_steps=0, default_root_dir=folder,
    )  # fmt: skip
    trainer.fit(task, data)
    return {"seen": watch.seen, "solved": {**task.solved, "seconds": 0}}


def recalibrated(ranks: range) -> dict[str, Any]:
    """Statistics estimated over the batches of these ranks, together with the other processes if there are any."""
    norm = nn.BatchNorm1d(3)
    batches = [torch.randn(8, 3, generator=torch.Generator().manual_seed(rank)) + rank for rank in ranks]
    recalibrate(norm, norm, batches)
    return {"mean": norm.running_mean.tolist(), "variance": norm.running_var.tolist()}  # type: ignore[union-attr]


def main() -> None:
    folder, *names = sys.argv[1:]
    ranks, rank = int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_RANK"])
    found: dict[str, Any] = {}
    for name in names:
        if name in ("evaluate", "cache", "solved"):
            found[name] = {"evaluate": evaluate, "cache": cache, "solved": solved}[name](ranks, rank, Path(folder))
        else:
            found[name] = fit(Case.of(name), ranks, rank, Path(folder))
    found["recalibrated"] = recalibrated(range(rank, rank + 1))
    found["mean count"] = mean_over_ranks(torch.tensor([rank, 4 * rank])).tolist()
    (Path(folder) / f"rank{rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
