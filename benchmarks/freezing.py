"""What "frozen" means in our engine and in five other ways of freezing.

python -m benchmarks freezing [--write] [--ways resnet_tl requires_grad ...]

ResNet-18 (torchvision's, random weights and statistics) at 32 px in a user's LightningModule; stem, layer1 and
layer2 are frozen for 20 steps of SGD with momentum and weight decay and two validations. On two gloo processes they are
frozen for one epoch and trained in a second. No timing: `python -m benchmarks freezing_speed` has those.
luxonis-train's freezing is applied when its own trainer applies it. AutoTimm freezes in the constructor of its own
module, `ImageClassifier`, which is fitted as it comes: the whole backbone is frozen, and nothing unfreezes it.
"""

from __future__ import annotations

import argparse
import copy
import os
import socket
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import torchvision
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import BackboneFinetuning
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from benchmarks.figures import Figure, write
from benchmarks.machine import machine
from resnet_tl.data.loading.samplers import EvaluationSampler, TrainSampler
from resnet_tl.tuning.callback import FineTuning
from resnet_tl.tuning.plan import Phase, Tuning

NEVER, EPOCHS, STEPS, BATCH, EVALUATED = 99, 2, 10, 8, 5
Facts = dict[str, float]
ROWS = {
    "weights": "frozen weights moved",
    "statistics": "frozen running statistics moved",
    "mates": "a frozen map changes with its batch mates (relative)",
    "train": "frozen norms in train mode after model.train()",
    "saved": "activations saved in the frozen part, of full training's",
    "momentum": "weights moved after a late freeze, with zero_grad(set_to_none=False)",
    "ranks": "two ranks apart after an unfreeze (largest difference of a weight, relative)",
    "counted": f"{EVALUATED} samples validated on 2 ranks: counted",
}


class Images(Dataset[tuple[Tensor, int, int]]):
    """Noise images, indexed by an int or by a draw of our samplers."""

    def __init__(self, count: int) -> None:
        generator = torch.Generator().manual_seed(0)
        self.images = torch.randn(count, 3, 32, 32, generator=generator)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, draw: Any) -> tuple[Tensor, int, int]:
        index = draw if isinstance(draw, int) else draw[1]
        return self.images[index], index % 2, index


class User(LightningModule):
    """`backbone` gets frozen. The optimizer holds the parameters that a tool's documentation asks for."""

    def __init__(self, holds_all: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        net = torchvision.models.resnet18(num_classes=2)
        for part in net.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.running_mean.normal_(std=0.1)
                part.running_var.uniform_(0.5, 1.5)
        self.backbone = nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool, net.layer1, net.layer2)
        self.tail = nn.Sequential(net.layer3, net.layer4, net.avgpool, nn.Flatten(), net.fc)
        self.holds_all, self.counted = holds_all, 0

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        return nn.functional.cross_entropy(self.tail(self.backbone(batch[0])), batch[1])

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self.tail(self.backbone(batch[0]))
        self.counted += int((batch[2] >= 0).sum())
        self.log("val_loss", torch.zeros(()), sync_dist=True)

    def on_validation_epoch_start(self) -> None:
        self.counted = 0

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad(set_to_none=False)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        parameters = [p for p in self.parameters() if self.holds_all or p.requires_grad]
        return torch.optim.SGD(parameters, 0.01, momentum=0.9, weight_decay=1e-4)


def autotimms_user() -> LightningModule:
    """AutoTimm's own classifier with its own optimizer, fitted on the same images."""
    from autotimm import BackboneConfig, ImageClassifier

    class AutoTimm(ImageClassifier):
        counted = 0

        def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
            return super().training_step((batch[0], batch[1]), batch_idx)

        def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
            super().validation_step((batch[0], batch[1]), batch_idx)
            self.counted += int((batch[2] >= 0).sum())

        def on_validation_epoch_start(self) -> None:
            super().on_validation_epoch_start()
            self.counted = 0

    torch.manual_seed(0)
    return AutoTimm(
        BackboneConfig("resnet18", pretrained=False),
        num_classes=2,
        freeze_backbone=True,
        compile_model=False,
        deterministic=False,
        seed=None,
    )


class RequiresGrad(Callback):
    """What users write by hand."""

    def __init__(self, unfreeze_at: int, freeze: int = 0) -> None:
        self.freeze, self.unfreeze_at = freeze, unfreeze_at

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        pl_module.backbone.requires_grad_(self.freeze > 0)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        pl_module.backbone.requires_grad_(not self.freeze <= trainer.current_epoch < self.unfreeze_at)


def ours(unfreeze_at: int, freeze: int = 0) -> Callback:
    frozen = [Phase(["tail"], epochs=None if unfreeze_at == NEVER else unfreeze_at)]
    phases = [*([Phase(epochs=freeze)] if freeze else []), *frozen, *([] if unfreeze_at == NEVER else [Phase()])]
    return FineTuning(Tuning(phases), stages={"backbone": "backbone", "tail": "tail"})


def backbone_finetuning(unfreeze_at: int) -> Callback:
    return BackboneFinetuning(unfreeze_backbone_at_epoch=unfreeze_at, backbone_initial_lr=0.01, verbose=False)


def finetuning_scheduler(unfreeze_at: int) -> Callback:
    from finetuning_scheduler import FinetuningScheduler

    phases = {
        0: {"params": ["tail.*"], "max_transition_epoch": min(unfreeze_at, EPOCHS)}
    }  # the last one's ends the run
    if unfreeze_at < EPOCHS:
        phases[1] = {"params": ["backbone.*"], "max_transition_epoch": EPOCHS, "lr": 0.01}
    return FinetuningScheduler(ft_schedule=phases, epoch_transitions_only=True, restore_best=False)


def luxonis_train(unfreeze_at: int) -> Callback:
    from luxonis_train.lightning.freezing import FreezeSchedule, NodeFreezePlan

    class TrainingManager(Callback):
        def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
            plan = NodeFreezePlan.from_module("backbone", pl_module.backbone, unfreeze_at, lr_after_unfreeze=None)
            self.schedule = FreezeSchedule([plan])
            self.schedule.apply(0)

        def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
            self.schedule.apply(trainer.current_epoch)

    return TrainingManager()


def autotimm(unfreeze_at: int) -> None:
    """Its module is frozen when it is constructed."""


WAYS: dict[str, Callable[..., Callback | None]] = {
    "resnet_tl": ours,
    "BackboneFinetuning": backbone_finetuning,
    "finetuning-scheduler": finetuning_scheduler,
    "luxonis-train": luxonis_train,
    "AutoTimm": autotimm,
    "requires_grad": RequiresGrad,
}
PACKAGES = {name: name.lower().replace("-", "_") for name in ("finetuning-scheduler", "luxonis-train", "AutoTimm")}
CAN_FREEZE_LATE = ("resnet_tl", "requires_grad")
CANNOT_UNFREEZE = ("AutoTimm",)


def main(arguments: list[str]) -> None:
    options = _parser().parse_args(arguments)
    if options.rank_of is not None:
        _rank(options.rank_of)
        return
    present = [way for way in options.ways if way not in PACKAGES or find_spec(PACKAGES[way])]
    for way in set(options.ways) - set(present):
        print(f"{way}: not installed, skipped")
    results = {way: one_process(way) | two_processes(way) for way in present}
    print(table(results))
    if options.write:
        measured = {"machine": machine(), "found": results}
        write("freezing", measured, figures(measured))


def figures(results: dict[str, Any]) -> list[Figure]:
    found = results["found"]
    return [
        Figure("freezing", ROWS[row], way, found[way][row], "") for row in ROWS for way in found if row in found[way]
    ]


def table(results: dict[str, Facts]) -> str:
    lines = [["", *results]]
    lines += [[name, *(_number(figures.get(row)) for figures in results.values())] for row, name in ROWS.items()]
    return "\n".join(f"| {' | '.join(line)} |" for line in [lines[0], ["---"] * len(lines[0]), *lines[1:]])


def user(way: str) -> LightningModule:
    return autotimms_user() if way == "AutoTimm" else User(holds_all=way != "BackboneFinetuning")


def one_process(way: str) -> Facts:
    module = user(way)
    before = copy.deepcopy(module.backbone.state_dict())
    fit(module, way, WAYS[way](NEVER))
    after = module.backbone.state_dict()
    moved = [key for key in before if not torch.equal(before[key], after[key])]
    statistics = [key for key in moved if "running" in key]
    results: Facts = {
        "weights": len([k for k in moved if k.endswith(("weight", "bias"))]),
        "statistics": len(statistics),
    }
    module.train()
    images = Images(8).images
    with torch.no_grad():
        together, alone = module.backbone(images)[:1], module.backbone(images[:2])[:1]
    results["mates"] = _relative(together, alone)
    norms = [part for part in module.backbone.modules() if isinstance(part, nn.BatchNorm2d)]
    results["train"] = sum(norm.training for norm in norms)
    results["saved"] = _saved_bytes(module.backbone, images) / _saved_bytes(User(True).train().backbone, images)
    if way in CAN_FREEZE_LATE:
        results["momentum"] = _moved_after_a_late_freeze(way)
    return results


def _moved_after_a_late_freeze(way: str) -> int:
    class Copy(Callback):
        def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
            if trainer.global_step == STEPS:
                self.frozen = {name: p.detach().clone() for name, p in pl_module.backbone.named_parameters()}

    module, watch = User(holds_all=True), Copy()
    # Lightning drops all gradients before a validation; without one in between, gradients of zero remain.
    fit(module, way, WAYS[way](NEVER, freeze=1), others=[watch], validate=False)
    return sum(not torch.equal(p, watch.frozen[name]) for name, p in module.backbone.named_parameters())


def fit(
    module: LightningModule,
    way: str,
    callback: Callback | None,
    *,
    ranks: int = 1,
    others: list[Callback] | None = None,
    validate: bool = True,
) -> None:
    mine = way == "resnet_tl"
    rank = int(os.environ.get("LOCAL_RANK", 0))
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = trainer_of(module)(
            max_epochs=EPOCHS, accelerator="cpu", devices=ranks, strategy="ddp" if ranks > 1 else "auto",
            logger=False, enable_progress_bar=False, enable_model_summary=False, default_root_dir=folder,
            enable_checkpointing=way == "finetuning-scheduler", callbacks=[*filter(None, [callback]), *(others or [])],
            num_sanity_val_steps=0, limit_val_batches=1.0 if validate else 0, use_distributed_sampler=not mine,
        )  # fmt: skip
        train, val = Images(STEPS * BATCH), Images(EVALUATED)
        draws = TrainSampler(len(train), seed=0, batch_size=BATCH // ranks, ranks=ranks, rank=rank) if mine else None
        once = EvaluationSampler(len(val), ranks=ranks, rank=rank) if mine else None
        trainer.fit(module, DataLoader(train, BATCH // ranks, sampler=draws), DataLoader(val, 2, sampler=once))


def trainer_of(module: LightningModule) -> type[Trainer]:
    """AutoTimm's module is of the package pytorch_lightning, which Lightning's own Trainer refuses."""
    if isinstance(module, LightningModule):
        return Trainer
    import pytorch_lightning

    return pytorch_lightning.Trainer


def two_processes(way: str) -> Facts:
    """Frozen for one epoch, then trained for one: the distance of the ranks' weights, and the samples counted."""
    with tempfile.TemporaryDirectory() as folder, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
        free.close()
        joined = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2", "NODE_RANK": "0"}
        command = [sys.executable, "-m", "benchmarks", "freezing", "--rank-of", way]
        environment = {**os.environ, **joined, "PROBE_FOLDER": folder, "OMP_NUM_THREADS": "1"}
        ranks = [subprocess.Popen(command, env={**environment, "LOCAL_RANK": str(rank)}) for rank in range(2)]
        if max([process.wait() for process in ranks]):
            sys.exit(f"{way} failed on two ranks")
        one, other = (torch.load(Path(folder) / f"{rank}.pt") for rank in range(2))
    apart = max(_relative(one["weights"][key], other["weights"][key]) for key in one["weights"])
    counted: Facts = {"counted": one["counted"] + other["counted"]}
    return counted if way in CANNOT_UNFREEZE else {"ranks": apart, **counted}


def _rank(way: str) -> None:
    module = user(way)
    fit(module, way, WAYS[way](1), ranks=2)
    weights = {name: p.detach() for name, p in module.named_parameters()}
    path = Path(os.environ["PROBE_FOLDER"]) / f"{os.environ['LOCAL_RANK']}.pt"
    torch.save({"weights": weights, "counted": module.counted}, path)


def _relative(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max() / one.abs().max().clamp(min=1e-30))


def _saved_bytes(part: nn.Module, images: Tensor) -> int:
    """Bytes that autograd saves in a forward pass, without parameters and the images themselves."""
    known = {t.untyped_storage().data_ptr() for t in (images, *part.parameters(), *part.buffers())}
    with _saved(known) as sizes:
        output = part(images)
    del output
    return sum(sizes.values())


@contextmanager
def _saved(known: set[int]) -> Iterator[dict[int, int]]:
    sizes: dict[int, int] = {}
    held: list[Tensor] = []  # so that no address is used twice

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            sizes[storage.data_ptr()] = storage.nbytes()
            held.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield sizes


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.0f}" if value == round(value) and value < 1000 else f"{value:.2g}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks freezing")
    parser.add_argument("--write", action="store_true", help="writes benchmarks/results/freezing.json")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--rank-of", choices=WAYS, help=argparse.SUPPRESS)
    return parser
