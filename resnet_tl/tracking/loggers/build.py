"""Where logged numbers go: metrics.csv always, W&B and TensorBoard on request. The only import of wandb."""

from __future__ import annotations

import importlib.util
import netrc
import os
import secrets
from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from resnet_tl.errors import RunError
from resnet_tl.tracking.log import log_info
from resnet_tl.tracking.loggers.metrics_csv import MetricsCsv
from resnet_tl.tracking.run_folder import RunFolder
from resnet_tl.tracking.settings import Tracking


def loggers(tracking: Tracking, run: RunFolder, recipe: dict[str, Any] | None = None) -> list[Logger]:
    """The loggers of a run, for `Trainer(logger=...)`.

    Args:
        recipe: resolved, to be seen beside the run in W&B.

    Raises:
        RunError: TensorBoard is wanted and not installed.
    """
    chosen: list[Logger] = [MetricsCsv(run.metrics)]
    if tracking.wandb:
        chosen.append(_wandb(tracking, run, recipe))
    if tracking.tensorboard:
        if not any(map(importlib.util.find_spec, ("tensorboard", "tensorboardX"))):
            raise RunError("tracking.tensorboard is true, but TensorBoard is not installed: pip install tensorboard")
        chosen.append(TensorBoardLogger(run.path, name="", version="tensorboard"))
    return chosen


def _wandb(tracking: Tracking, run: RunFolder, recipe: dict[str, Any] | None) -> WandbLogger:
    """Never asks for a key; uploads no checkpoints and no code; one run id for as long as the run folder lives."""
    import wandb

    mode = os.environ.get("WANDB_MODE")
    if mode is None:
        mode = "online" if _has_key() else "offline"
        if mode == "offline":
            log_info(f"W&B: no key, so the run is offline; after `wandb login`: wandb sync {run.path}/wandb/offline-*")
    return Wandb(
        save_dir=run.path,
        project=tracking.project,
        entity=tracking.entity,
        name=tracking.name or run.path.name,
        tags=tracking.tags,
        id=_wandb_id(run.path / "wandb_id.txt"),
        config=recipe,
        mode=mode,
        settings=wandb.Settings(save_code=False, quiet=True),
    )


class Wandb(WandbLogger):
    """Lightning's, with a sentence for what W&B refuses: a wrong key, no network; and nothing is sent twice when a run
    goes on from before what it has sent."""

    known: Mapping[int, Collection[str]] = MappingProxyType({})
    """Step -> names sent by a part of the run that was killed behind its last checkpoint."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        known = self.known.get(-1 if step is None else step, ())
        new = {name: value for name, value in metrics.items() if name not in known}
        if new:
            epoch = {"epoch": metrics["epoch"]} if "epoch" in metrics else {}
            super().log_metrics({**epoch, **new}, step)

    @property
    def experiment(self) -> Any:
        import wandb

        try:
            return super().experiment
        except wandb.Error as error:
            reason = str(error).partition("\n")[0].rstrip(".")
            raise RunError(f"W&B: {reason}; WANDB_MODE=offline or tracking.wandb: false runs without it") from error


def _has_key() -> bool:
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).netloc
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


@rank_zero_only
def _wandb_id(path: Path) -> str | None:
    """Chosen once, kept in the run folder: a run that goes on after a kill is the same run."""
    if not path.exists():
        path.write_text(secrets.token_hex(4))
    return path.read_text()
