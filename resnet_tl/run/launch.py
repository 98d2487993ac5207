"""The processes that torchrun or SLURM has started: how many there are, and whether they are started again."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.accelerators import AcceleratorRegistry, CPUAccelerator
from lightning.pytorch.plugins.environments import (
    LSFEnvironment,
    MPIEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)

from resnet_tl.errors import RecipeError, RunError, did_you_mean
from resnet_tl.tuning.ranks import on_any

AUTO = "auto"
DEVICES = r"auto|-1|[1-9]\d*|\d+,(\s*\d+,)*(\s*\d+)?"
"""The texts that Lightning reads as devices: a number of them, or `0,2`, the numbers of some."""


class Launched(NamedTuple):
    """devices: the processes of this machine. nodes: the machines."""

    devices: int
    nodes: int


def launched() -> Launched | None:
    """Returns what torchrun or SLURM has started; None: this process was started by itself."""
    if TorchElasticEnvironment.detect():
        devices = int(os.environ["LOCAL_WORLD_SIZE"])
        return Launched(devices, int(os.environ["WORLD_SIZE"]) // devices)
    if SLURMEnvironment.detect():
        nodes = int(os.environ.get("SLURM_NNODES", 1))
        return Launched(int(os.environ["SLURM_NTASKS"]) // nodes, nodes)
    return None


def with_launched(options: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a `trainer` section whose `devices: auto` and `num_nodes: auto` are what was started; of a process that
    was started by itself all devices, and one machine."""
    found = launched()
    nodes = 1 if found is None else found.nodes
    devices = options["devices"] if found is None else found.devices
    return {
        **options,
        "devices": devices if options["devices"] == AUTO else options["devices"],
        "num_nodes": nodes if options["num_nodes"] == AUTO else options["num_nodes"],
    }


def check_accelerator(accelerator: Any) -> None:
    """Raises RecipeError for the name of a `trainer.accelerator` that Lightning does not know."""
    known = sorted({AUTO, "gpu", *AcceleratorRegistry.available_accelerators()})
    if isinstance(accelerator, str) and accelerator not in known:
        raise RecipeError(
            f"trainer.accelerator is {accelerator!r}; expected {', '.join(known)}{did_you_mean(accelerator, known)}"
        )


def check_devices(devices: Any, accelerator: Any) -> None:
    """Raises RecipeError for a `trainer.devices` that the `trainer.accelerator` does not take, on any machine."""
    if devices in (0, []) or (isinstance(devices, str) and not re.fullmatch(DEVICES, devices)):
        raise RecipeError(
            f"trainer.devices is {devices!r}; expected how many (of GPUs also which, as [0, 2]), or auto for all"
        )
    if accelerator == "cpu" and devices != AUTO:
        try:
            CPUAccelerator.parse_devices(devices)
        except TypeError:
            raise RecipeError(
                f"trainer.devices is {devices!r}, but trainer.accelerator is cpu; expected how many processes, as 2"
            ) from None


def check_others(options: Mapping[str, Any]) -> None:
    """Refuses a resolved `trainer` section of several machines for a process that nothing has started on the others:
    it would wait for them without a word.

    Raises:
        RecipeError: that is so.
    """
    environments = (TorchElasticEnvironment, SLURMEnvironment, LSFEnvironment, MPIEnvironment)
    if options["num_nodes"] in (1, AUTO) or "MASTER_ADDR" in os.environ or any(each.detect() for each in environments):
        return
    raise RecipeError(
        f"trainer.num_nodes is {options['num_nodes']}, but nothing has started this command on the other machines; "
        "start it by torchrun or SLURM (overlays/torchrun, overlays/slurm), or set MASTER_ADDR and NODE_RANK on each"
    )


def resume_if_restarted(run: object, resume: Any) -> Any:
    """Returns how a run is resumed: by itself, if torchrun is to start its processes again after one has failed.

    Args:
        run: `--run`, or None.
        resume: `--resume`, or None.

    Raises:
        RecipeError: there is no folder in which it would find itself.
    """
    restarts = int(os.environ.get("TORCHELASTIC_MAX_RESTARTS", 0)) if TorchElasticEnvironment.detect() else 0
    if restarts == 0 or resume is not None:
        return resume
    if run is None:
        raise RecipeError(
            f"torchrun --max-restarts {restarts} starts this command again when a process has failed: name the run's "
            "folder, in which it then resumes: --run DIR"
        )
    return "auto"


class SameStart(Callback):
    """Compares where the ranks start, which each has looked up in the run's folder.

    Args:
        step: of the checkpoint that this rank resumes from; None: it has found none.
    """

    def __init__(self, step: int | None) -> None:
        self.step = step

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        first = trainer.strategy.broadcast(self.step)
        if on_any(self.step != first):
            start = "starts a new run" if first is None else f"resumes at step {first}"
            raise RunError(
                f"rank 0 {start}, and another rank does not: the run's folder must lie on storage that all machines "
                "see, and each must have the same --run and --resume"
            )
