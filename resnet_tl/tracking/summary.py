"""summary.json: a run's results, rewritten after every epoch."""

from __future__ import annotations

import json
import math
import platform
import subprocess
from collections.abc import Sequence
from importlib import metadata
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from resnet_tl.files import atomic_write
from resnet_tl.structures.scores import improves, worst
from resnet_tl.tracking.best import Best
from resnet_tl.tracking.checkpoints import SafeCheckpointIO
from resnet_tl.tracking.memory import peak_memory
from resnet_tl.tracking.pace import Pace
from resnet_tl.tracking.run_folder import RunFolder

PACKAGES = ("resnet-tl", "torch", "torchvision", "lightning", "timm", "albumentations", "numpy")


class Summary(Callback):
    """Writes `{best, final, epoch, step, seconds, images_per_s, waiting, shares, memory_gb, finished, versions, git}`.

    best, final: `epoch`, `step` and all `val/...` metrics of the epoch with the best `monitor` (the first of equals)
    and of the last one; epochs count from 0, steps are optimizer steps taken.
    waiting, shares: see `Pace`. memory_gb: see `peak_memory`.
    finished: whether the run reached its planned end and all of its files are written; here it never is, see
        `run.resume.mark_finished`.
    changed_data: what had changed in the data when the run was resumed, a sentence for each time; absent if nothing.
    solved: `phase`, `l2`, `acc`, `loss` and `seconds` of the head that was solved (`solver: lbfgs`): the penalty, and
        accuracy and loss in cross-validation; absent if none was.
    decisions: what was fitted on the validation images after training, in numbers; absent before, and if nothing.
    """

    def __init__(self, run: RunFolder, saved: Best, pace: Pace, changed_data: Sequence[str] = ()) -> None:
        self.run, self.saved, self.pace = run, saved, pace
        self.monitor = saved.metric
        self.changed_data = list(changed_data)
        self.best: dict[str, Any] = {}
        self.final: dict[str, Any] = {}
        self.decisions: dict[str, Any] = {}
        self._environment: dict[str, Any] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.run.agree(trainer.strategy)
        if trainer.is_global_zero:
            self._environment = {"versions": versions(), "git": git_state()}

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("val/")}
        self.final = {"epoch": trainer.current_epoch, "step": trainer.global_step, **metrics}
        none = worst(self.monitor)
        if self._is_lost:
            self.best = {}
        if improves(self.monitor, metrics.get(self.monitor, none), self.best.get(self.monitor, none)):
            self.best = self.final
        self._write(trainer, pl_module)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._is_lost:
            self.best = self.final  # of last.ckpt, which predicts where there is no best.ckpt
        self._write(trainer, pl_module)

    @property
    def _is_lost(self) -> bool:
        return bool(self.best) and self.best["step"] < self.saved.since

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "final": self.final}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best, self.final = state_dict["best"], state_dict["final"]

    def shares(self, trainer: Trainer) -> dict[str, float]:
        """Returns what the run spent its time on, see `Pace.shares`."""
        saving = trainer.strategy.checkpoint_io
        return self.pace.shares(saving.seconds if isinstance(saving, SafeCheckpointIO) else 0.0)

    def _write(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        solved: dict[str, float] = getattr(pl_module, "solved", {})
        content = {
            "best": self.best,
            "final": self.final,
            "epoch": trainer.current_epoch,
            "step": trainer.global_step,
            "seconds": round(self.pace.seconds, 1),
            "images_per_s": self.pace.images_per_second,
            "waiting": self.pace.waiting,
            "shares": self.shares(trainer),
            "memory_gb": peak_memory(trainer.strategy.root_device),
            "finished": False,
            **({"changed_data": self.changed_data} if self.changed_data else {}),
            **({"solved": solved} if solved else {}),
            **({"decisions": self.decisions} if self.decisions else {}),
            **self._environment,
        }
        with atomic_write(self.run.summary) as file:
            file.write(json.dumps(finite(content), indent=2).encode() + b"\n")


def versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{package: metadata.version(package) for package in PACKAGES}}


def git_state() -> dict[str, Any] | None:
    """The commit of the working folder, and whether tracked files have changed; None outside git."""
    try:
        commit = _git("rev-parse", "HEAD")
        return {"commit": commit, "changed": bool(_git("status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(*arguments: str) -> str:
    return subprocess.run(("git", *arguments), check=True, capture_output=True, text=True).stdout.strip()


def finite(value: Any) -> Any:
    """Replaces NaN and infinity, which JSON does not have, by None."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
