"""Fits with a limit of memory on one rank of several, or the only one: `memory_probe.py FOLDER CASE...`."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ranks_probe as probe
import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor
from torch.utils.data import DataLoader

from resnet_tl.data.loading.samplers import TrainSampler
from resnet_tl.models.heads.classification import LinearHead
from resnet_tl.models.network import Backbone
from resnet_tl.run.batch_probe import largest_micro_batch
from resnet_tl.structures.records import Batch
from resnet_tl.tasks.base import Task
from resnet_tl.tasks.classification import Classification
from resnet_tl.tuning.plan import Tuning
from resnet_tl.tuning.rates import Optimizer


@dataclass(frozen=True)
class Case:
    """batch: images per rank. limit: images that fit on the rank `full` (-1: on all), from optimizer step `start` on;
    more fail in the `forward` or the `backward` pass, or with another error. micro: the micro-batch from `start` on; 0:
    none. auto: it is searched for as the fit starts. phases: the last ones."""

    network: str = "ours"
    norm: str = "frozen"
    precision: str = "64-true"
    batch: int = 12
    accumulate: int = 1
    limit: int = 1000
    full: int = -1
    start: int = 0
    fails: str = "forward"
    micro: int = 0
    auto: bool = False
    phases: int = 3

    @property
    def name(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def of(cls, name: str) -> Case:
        return cls(**json.loads(name))


FAILURES = {
    "forward": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    "shape mismatch": RuntimeError("shape mismatch"),
}


def fail() -> None:
    raise FAILURES["forward"]


class Memory(Callback):
    """Holds `limit` images; records the images, rates and micro-batches of every optimizer step."""

    def __init__(self, case: Case, rank: int) -> None:
        self.case, self.rank = case, rank
        self.failures = 0
        self.window: list[int] = []
        self.steps: list[list[int]] = []
        self.rates: list[float] = []
        self.sizes: list[int | None] = []
        self.losses: list[float] = []

    def on_fit_start(self, trainer: Trainer, pl_module: Task) -> None:
        self.trainer = trainer
        # A function: copies of the network share it, and with it the limit.
        pl_module.network.head.register_forward_pre_hook(lambda head, inputs: self.check(head, inputs))
        if self.case.auto:
            batch = next(iter(loader(self.case, trainer.world_size, self.rank)))
            data: Any = SimpleNamespace(batch_size=self.case.batch, training_batch=lambda: batch)
            pl_module.micro_batches.size = largest_micro_batch(pl_module, data, trainer)

    def check(self, head: torch.nn.Module, inputs: tuple[Any, ...]) -> None:
        maps = next(iter(inputs[0].values()))
        full = self.case.full in (-1, self.rank) and self.trainer.global_step >= self.case.start
        if not (torch.is_grad_enabled() and full and len(maps) > self.case.limit):
            return
        self.failures += 1
        if self.case.fails != "backward":
            raise FAILURES[self.case.fails]
        # Its gradient comes first: those of the layers before it are there already when this one fails.
        bias = next(value for value in head.parameters() if value.requires_grad)
        handle = bias.register_hook(lambda gradient: (handle.remove(), fail()))

    def on_train_batch_start(self, trainer: Trainer, pl_module: Task, batch: Batch, batch_idx: int) -> None:
        if self.case.micro and trainer.global_step >= self.case.start:
            pl_module.micro_batches.size = self.case.micro
        self.window += batch.indices.tolist()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *args: Any) -> None:
        self.losses.append(float(outputs["loss"]))

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: Task, optimizer: Any) -> None:
        self.steps.append(self.window)
        self.window = []
        self.rates.append(optimizer.param_groups[0]["lr"])
        self.sizes.append(pl_module.micro_batches.size)


def loader(case: Case, ranks: int, rank: int) -> DataLoader[Batch]:
    sampler = TrainSampler(probe.COUNT, seed=1, batch_size=case.batch, ranks=ranks, rank=rank)
    collate = probe.COLLATES.get(case.network, probe.batch_of)
    return DataLoader(probe.Images(), case.batch, sampler=sampler, collate_fn=collate)  # type: ignore[arg-type]


def build(network: str, tuning: Tuning) -> Task:
    if network == "drawn":  # mixup, dropout, and blocks that are skipped at random
        torch.manual_seed(0)
        backbone, head = Backbone("resnet20_cifar", drop_path=0.5), partial(LinearHead, multi_label=True, dropout=0.5)
        return Classification(list("abcd"), backbone, head, tuning, Optimizer("sgd", lr=0.05), mixup=0.5, cutmix=0.5)
    module, _ = probe.build(network, tuning)
    assert isinstance(module, Task)
    return module


def fit(case: Case, ranks: int, rank: int, folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What happened on this rank, and its weights."""
    phases = probe.PHASES[-case.phases :]
    module = build(case.network, Tuning(phases, norm=case.norm, allow_untrained=True))  # type: ignore[arg-type]
    memory = Memory(case, rank)
    trainer = Trainer(
        max_epochs=case.phases, accelerator="cpu", devices=ranks,
        strategy=DDPStrategy(gradient_as_bucket_view=True) if ranks > 1 else "auto",
        logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        precision=case.precision, use_distributed_sampler=False, accumulate_grad_batches=case.accumulate,
        callbacks=[memory], default_root_dir=folder,
    )  # fmt: skip
    trainer.fit(module, loader(case, ranks, rank))
    names = ("failures", "steps", "rates", "sizes", "losses")
    seen = {name: getattr(memory, name) for name in names}
    state = module.state_dict()
    return {**seen, "digest": probe.digest(state.values())}, state


def main() -> None:
    folder, *names = sys.argv[1:]
    ranks, rank = int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_RANK"])
    found: dict[str, Any] = {}
    for name in names:
        found[name], state = fit(Case.of(name), ranks, rank, Path(folder))
        if rank == 0:
            torch.save(state, Path(folder) / f"{names.index(name)}.pt")
    (Path(folder) / f"rank{rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
