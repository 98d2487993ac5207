"""Memory and seconds of a rank that trains a very large head, whole on each rank or shared by them.

python -m benchmarks sharded_head [--write] [--classes 200000] [--steps 8]

A linear head of made classes on a frozen ResNet-18, under AdamW: the task and the strategies of a run, two and four
ranks on one thread each, joined by gloo. The images are noise of 64 pixels.
"""

from __future__ import annotations

import argparse
import logging
import os
import socket
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, Trainer
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor
from torch.utils.data import DataLoader

from benchmarks.data_path import on_one_core
from benchmarks.figures import Figure, write
from benchmarks.listing import resident
from benchmarks.machine import machine
from resnet_tl.models.heads.classification import LinearHead
from resnet_tl.models.network import Backbone
from resnet_tl.run.ddp import configure_ddp
from resnet_tl.run.sharding import FSDP2, adapt
from resnet_tl.structures.records import Batch
from resnet_tl.tasks.classification import Classification
from resnet_tl.tasks.sharded_head import ShardedHead
from resnet_tl.tracking.checkpoints import SafeCheckpointIO
from resnet_tl.tuning.plan import Phase, Tuning
from resnet_tl.tuning.rates import Optimizer

RANKS = (2, 4)
STRATEGIES = ("ddp", FSDP2)
BATCH, SIZE, WARM_UP = 8, 64, 2
MB = 1e6


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks sharded_head", description=__doc__.split("\n")[0])
    parser.add_argument("--classes", type=int, default=200_000)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--write", action="store_true", help="writes benchmarks/results/sharded_head.json")
    options = parser.parse_args(arguments)
    results: dict[str, Any] = {"machine": machine(), "classes": options.classes, "steps": options.steps, "ranks": []}
    for ranks in RANKS:
        for strategy in STRATEGIES:
            found = run(strategy, ranks, options.classes, options.steps)
            print(f"{ranks} ranks, {strategy}: {found}", flush=True)
            results["ranks"].append({"ranks": ranks, "strategy": strategy, **found})
    if options.write:
        write("sharded_head", results, figures(results))


def figures(results: dict[str, Any]) -> list[Figure]:
    made = []
    for found in results["ranks"]:
        row = f"{found['ranks']} ranks, `{found['strategy']}`"
        made.append(Figure("sharded_head", row, "memory of a rank", found["memory"], "MB"))
        made.append(Figure("sharded_head", row, "a step", found["step"], "s"))
        made.append(Figure("sharded_head", row, "saving a checkpoint", found["save"], "s"))
    return made


def run(strategy: str, ranks: int, classes: int, steps: int) -> dict[str, float]:
    """Returns the largest of what the ranks measure."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with ProcessPoolExecutor(ranks, get_context("spawn")) as pool:
        futures = [pool.submit(measure, strategy, rank, ranks, port, classes, steps) for rank in range(ranks)]
        each = [future.result() for future in futures]
    return {name: max(found[name] for found in each) for name in each[0]}


def measure(strategy: str, rank: int, ranks: int, port: int, classes: int, steps: int) -> dict[str, float]:
    """Trains as one of the ranks. Returns the most memory during a step (MB), and seconds of a step and of saving."""
    on_one_core()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    place = {"LOCAL_RANK": rank, "WORLD_SIZE": ranks, "NODE_RANK": 0, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in place.items()})
    torch.manual_seed(0)
    task = Classification(
        [str(number) for number in range(classes)],
        backbone=Backbone("resnet18"),
        head=LinearHead,
        tuning=Tuning([Phase(["head"])], allow_untrained=True),
        optimizer=Optimizer("adamw", lr=1e-3),
    )
    adapt(task)  # for both: no fused optimizer, no steps that watch the memory
    watch = Watch(steps)
    trainer = Trainer(
        accelerator="cpu", devices=ranks, strategy=ShardedHead() if strategy == FSDP2 else DDPStrategy(), max_epochs=1,
        limit_val_batches=0, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, use_distributed_sampler=False, plugins=[SafeCheckpointIO()], callbacks=[watch],
    )  # fmt: skip
    configure_ddp(trainer, compiled=False, redoes=False)
    numbers = list(range(steps * BATCH))
    trainer.fit(task, DataLoader(numbers, BATCH, collate_fn=lambda numbers: noise(numbers, classes)))  # type: ignore[arg-type]
    return watch.found


class Watch(Callback):
    """Measures from the step after the warm-up on, then a checkpoint."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.found: dict[str, float] = {}
        self._start = 0.0

    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx == WARM_UP:
            trainer.strategy.barrier()
            Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
            self._start = time.perf_counter()

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        seconds = (time.perf_counter() - self._start) / (self.steps - WARM_UP)
        self.found = {"memory": resident("VmHWM") / MB, "step": seconds}
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            trainer.save_checkpoint(f"{folder}/last.ckpt")
            self.found["save"] = time.perf_counter() - start


def noise(numbers: list[int], classes: int) -> Batch:
    generator = torch.Generator().manual_seed(numbers[0])
    images = torch.randint(256, (len(numbers), 3, SIZE, SIZE), dtype=torch.uint8, generator=generator)
    sizes = torch.full((len(numbers), 2), SIZE)
    targets: Tensor = torch.tensor(numbers) * 7919 % classes
    return Batch(images, targets, sizes, sizes, torch.tensor(numbers))
