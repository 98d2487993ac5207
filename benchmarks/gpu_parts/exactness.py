"""What must be equal on the device, tensor by tensor, through a plan of three phases, with deterministic algorithms.

A run that is killed (SIGKILL) and resumed against one that was not; one in 16-mixed that is stopped and resumed, with
the scaler of its gradients; and runs as DistributedDataParallel in one process (NCCL on a GPU, gloo on a CPU), with
and without a static graph, against one without. They do not recover from full memory, as a run of one process would
else compute all gradients outside of DDP's exchange. Small images and the CIFAR form of ResNet, whose layers all have
deterministic algorithms. SyncBN's module runs batch norm in one process; what it runs in several is called by itself.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from lightning import Callback, Trainer
from lightning.pytorch.plugins import MixedPrecision
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.nn import functional as F
from torch.nn.modules._functions import SyncBatchNorm
from torch.nn.parallel import DistributedDataParallel

from benchmarks.figures import Figure
from benchmarks.gpu_parts.race import TABLE, memory
from benchmarks.gpu_parts.setting import Setting
from resnet_tl.models.network import Backbone
from resnet_tl.run.ddp import configure_ddp
from resnet_tl.structures.records import Batch
from resnet_tl.tasks.classification import Classification
from resnet_tl.tracking.last import Last
from resnet_tl.tuning.plan import Phase, Tuning

DIFFERENT, LARGEST = "tensors that differ", "largest difference"
PHASES = [["head"], ["layer3", "head"], "all"]
SIDE = 32
CHANNELS = 16
TOLERANCE = 100
"""Of SyncBN's function, in millionths of a tensor's largest value: its sums have another order than batch norm's."""
Tensors = dict[str, Tensor]


class Batches:
    """A loader that can resume anywhere: random batches, the same for any process, in an order drawn every epoch."""

    def __init__(self, setting: Setting) -> None:
        self.sampler, self.epoch, self.start, self.given = self, 0, 0, 0
        draw = torch.Generator().manual_seed(0)
        self.batches = [_batch(setting.exact_batch, draw) for _ in range(setting.exact_steps)]

    def set_epoch(self, epoch: int) -> None:
        if epoch != self.epoch:
            self.epoch, self.start = epoch, 0

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Batch]:
        self.given = self.start
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(self.epoch)).tolist()
        for number in order[self.start :]:
            self.given += 1
            yield self.batches[number]

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self.epoch, "start": self.given}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.epoch, self.start = state["epoch"], state["start"]


class Stopped(Exception):
    """Raised in the middle of a run."""


class Stop(Callback):
    """Ends the run after so many steps: by SIGKILL, which nothing in the process can notice, or by raising."""

    def __init__(self, steps: int, kill: bool) -> None:
        self.steps, self.kill = steps, kill

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if trainer.global_step == self.steps:
            if self.kill:
                os.kill(os.getpid(), signal.SIGKILL)
            raise Stopped


class Exchange(DDPStrategy):
    """DDP that counts the buckets of gradients that processes exchange."""

    exchanged = 0

    def configure_ddp(self) -> None:
        super().configure_ddp()
        assert isinstance(self.model, DistributedDataParallel)
        self.model.register_comm_hook(None, lambda _, bucket: self._exchange(bucket))

    def _exchange(self, bucket: dist.GradBucket) -> torch.futures.Future[Tensor]:
        self.exchanged += 1
        return allreduce_hook(None, bucket)


def measure(setting: Setting) -> Iterator[Figure | str]:
    with tempfile.TemporaryDirectory() as folder:
        single = train(setting, Path(folder) / "uncut", "32-true")
        _train_and_die(setting, Path(folder) / "killed")
        setting.device.forget_peak()
        resumed = train(setting, Path(folder) / "killed", "32-true", resume=True)
        yield from _equal(setting, "killed in the second phase and resumed, 32-true", resumed, single)

        scaled = train(setting, Path(folder) / "scaled", "16-mixed")
        with suppress(Stopped):
            train(setting, Path(folder) / "stopped", "16-mixed", stop=Stop(_middle(setting), kill=False))
        setting.device.forget_peak()
        resumed = train(setting, Path(folder) / "stopped", "16-mixed", resume=True)
        row = "stopped in the second phase and resumed with its scaler, 16-mixed"
        yield from _equal(setting, row, resumed, scaled)

        for graph in ("static graph", "no static graph"):
            yield from _in_one_process(setting, Path(folder) / graph, single, graph)


def _in_one_process(setting: Setting, folder: Path, single: Tensors, graph: str) -> Iterator[Figure | str]:
    setting.device.forget_peak()
    strategy = Exchange(static_graph=graph == "static graph")
    parallel = train(setting, folder, "32-true", recover=False, strategy=strategy, sync_batchnorm=setting.device.is_gpu)
    if not strategy.exchanged:
        raise RuntimeError("DDP has exchanged no gradients")
    norms = ", norms converted to SyncBN" if setting.device.is_gpu else ""
    yield from _equal(setting, f"DDP of one process ({dist.get_backend()}), {graph}{norms}", parallel, single)
    if graph == "no static graph":
        yield sync_norm(setting) if setting.device.is_gpu else "SyncBN: not run, it needs a GPU"
    dist.destroy_process_group()


def sync_norm(setting: Setting) -> Figure:
    """Compares the function that SyncBN's module calls among several processes with batch norm, forward and backward,
    in a group of one: outputs, gradients and running statistics."""
    device = setting.device.kind
    x, gradient = (1 + torch.randn(setting.exact_batch, CHANNELS, SIDE, SIDE, device=device) for _ in range(2))
    weight, bias, mean, var = (0.5 + torch.rand(CHANNELS, device=device) for _ in range(4))

    def run(norm: Callable[..., Tensor]) -> list[Tensor]:
        inputs, statistics = [each.clone().requires_grad_() for each in (x, weight, bias)], [mean.clone(), var.clone()]
        y = norm(*inputs, *statistics)
        return [y.detach(), *torch.autograd.grad(y, inputs, gradient), *statistics]

    group = dist.group.WORLD
    synchronised = run(lambda x, w, b, mean, var: SyncBatchNorm.apply(x, w, b, mean, var, 1e-5, 0.1, group, 1))
    expected = run(lambda x, w, b, mean, var: F.batch_norm(x, mean, var, w, b, True, 0.1, 1e-5))
    pairs = zip(synchronised, expected, strict=True)
    apart = max(float((one - other).abs().max() / other.abs().max()) for one, other in pairs)
    row = "SyncBN's function in a group of one, against batch norm"
    return Figure(TABLE, row, LARGEST, 1e6 * apart, "ppm", TOLERANCE)


def train(
    setting: Setting,
    folder: Path,
    precision: str,
    *,
    resume: bool = False,
    stop: Stop | None = None,
    recover: bool = True,
    **options: Any,
) -> Tensors:
    """Returns what training ends with: weights and statistics, and the state of the optimizer and the scaler.

    Args:
        recover: from full memory.
        options: of the Trainer.
    """
    folder.mkdir(exist_ok=True)
    setting.device.settle()
    tuning = Tuning([Phase(stages, epochs=1) for stages in PHASES], allow_untrained=True)
    task = Classification([str(n) for n in range(10)], Backbone("resnet20_cifar", zero_init_last=False), tuning=tuning)
    task.micro_batches.recover = recover
    scaler, plugins = None, []
    if precision == "16-mixed":
        # It doubles its factor every other step, so that gradients overflow and steps are skipped around the cut.
        scaler = torch.amp.GradScaler(setting.device.kind, growth_interval=2)
        plugins = [MixedPrecision("16-mixed", setting.device.kind, scaler)]
    trainer = Trainer(
        max_epochs=len(PHASES), accelerator=setting.device.kind, devices=1, deterministic=True, benchmark=False,
        precision=None if plugins else precision, plugins=plugins, logger=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=folder, use_distributed_sampler=False,
        callbacks=[Last(folder, every=1), *([] if stop is None else [stop])], **options,
    )  # fmt: skip
    configure_ddp(trainer, compiled=False, redoes=recover)
    checkpoint = folder / "last.ckpt" if resume else None
    trainer.fit(task, Batches(setting), ckpt_path=checkpoint, weights_only=True)
    optimizer = trainer.optimizers[0].state_dict()["state"]
    return {
        **{
            f"scaler {key}": torch.tensor(float(value))
            for key, value in (scaler.state_dict() if scaler else {}).items()
        },
        **{
            f"optimizer {index} {key}": _on_cpu(value)
            for index, state in optimizer.items()
            for key, value in state.items()
        },
        **{key: _on_cpu(value) for key, value in task.state_dict().items()},
    }


def _middle(setting: Setting) -> int:
    """Returns a step within the second phase, and within an epoch."""
    return setting.exact_steps + setting.exact_steps // 2


def _train_and_die(setting: Setting, folder: Path) -> None:
    """Trains in another process, which ends within the second phase."""
    stop = {"stop": Stop(_middle(setting), kill=True)}
    process = multiprocessing.get_context("spawn").Process(target=train, args=(setting, folder, "32-true"), kwargs=stop)
    process.start()
    process.join()
    if process.exitcode != -signal.SIGKILL:
        raise RuntimeError(f"the run that was to be killed ended with {process.exitcode}")


def _equal(setting: Setting, row: str, some: Tensors, others: Tensors) -> Iterator[Figure]:
    yield differing(row, some, others)
    yield from memory(row, setting.device.peak())


def differing(row: str, some: Tensors, others: Tensors) -> Figure:
    """Counts the tensors that are not equal bit for bit, those that one side alone has among them."""
    names = some.keys() | others.keys()
    same = sum(name in some and name in others and torch.equal(some[name], others[name]) for name in names)
    return Figure(TABLE, row, DIFFERENT, len(names) - same, "", 0)


def _on_cpu(value: Any) -> Tensor:
    return torch.as_tensor(value).detach().cpu()


def _batch(count: int, draw: torch.Generator) -> Batch:
    images = torch.randint(256, (count, 3, SIDE, SIDE), dtype=torch.uint8, generator=draw)
    sizes = torch.full((count, 2), SIDE)
    targets = torch.randint(10, (count,), generator=draw)
    return Batch(images.contiguous(memory_format=torch.channels_last), targets, sizes, sizes, torch.arange(count))
