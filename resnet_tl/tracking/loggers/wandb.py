"""The run at Weights & Biases."""

from __future__ import annotations

import netrc
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from resnet_tl.errors import RunError
from resnet_tl.tracking.log import log_info
from resnet_tl.tracking.loggers.drawings import Drawing
from resnet_tl.tracking.loggers.identity import group_of
from resnet_tl.tracking.loggers.run_logger import Outcome, RunLogger
from resnet_tl.tracking.loggers.wandb_media import artifact, delete_superseded, native
from resnet_tl.tracking.run_folder import RunFolder
from resnet_tl.tracking.settings import Tracking


def wandb_logger(tracking: Tracking, run: RunFolder, recipe: dict[str, Any] | None = None) -> Wandb:
    """Builds a logger that never prompts for a key, uploads no checkpoints or code, and keeps the run's id on resume.

    Without a key (and without WANDB_MODE) the run is logged offline. Runs of one recipe, seeds and folds apart, are a
    group.
    """
    import wandb

    mode = os.environ.get("WANDB_MODE")
    if mode is None:
        mode = "online" if has_key() else "offline"
        if mode == "offline":
            log_info(f"W&B: no key, so the run is offline; after `wandb login`: wandb sync {run.path}/wandb/offline-*")
    return Wandb(
        save_dir=run.path,
        project=tracking.project,
        entity=tracking.entity,
        name=tracking.name or run.name,
        group=None if recipe is None else group_of(recipe),
        tags=[*tracking.tags, *([] if recipe is None else tags(recipe))],
        id=_run_id(run.path / "wandb_id.txt"),
        config=recipe,
        mode=mode,
        settings=wandb.Settings(save_code=False, quiet=True),
    )


def tags(recipe: dict[str, Any]) -> list[str]:
    """Returns the task and the folder of the images, as tags of W&B: at most 64 characters long."""
    task = recipe["model"]["class_path"].rpartition(".")[2].lower()
    root = recipe["data"]["init_args"].get("root")
    return [task, *([] if root is None else [Path(root).resolve().name[:64]])]


class Wandb(WandbLogger, RunLogger):
    """Lightning's logger; W&B's errors become one sentence, and a resumed run sends nothing twice.

    W&B's own step is the optimizer step too: it never runs backwards, not even in a resumed run that is offline.
    """

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        if new := self.not_sent(metrics, step):
            self.experiment.log({**new, **({} if step is None else {"trainer/global_step": step})}, step=step)

    @rank_zero_only
    def show(self, name: str, drawing: Drawing, step: int) -> None:
        self.log_metrics({name: native(drawing)}, step)

    @rank_zero_only
    def end(self, outcome: Outcome) -> None:
        """Sends checkpoints as versions of one artifact, named after the run; those of an earlier end are deleted."""
        run = self.experiment
        run.summary.update(outcome.metrics)
        if outcome.data:
            run.log_artifact(artifact(f"data-{outcome.digests['data']}", "dataset", outcome.data, outcome.digests))
        name, metadata = f"model-{run.id}", {**outcome.metrics, **outcome.digests}
        for alias, path in outcome.checkpoints.items():
            sent = run.log_artifact(artifact(name, "model", [path], metadata), aliases=[alias])
            if not run.offline:
                sent.wait()
        if outcome.checkpoints and not run.offline:
            delete_superseded(f"{run.entity}/{run.project}/{name}")

    def close(self) -> None:
        """Ends the W&B run, so that the next training in this process gets a run of its own."""
        if self._experiment is not None:
            self._experiment.finish()
            self._experiment = None

    @property
    def experiment(self) -> Any:
        import wandb

        try:
            return super().experiment
        except wandb.Error as error:
            reason = str(error).partition("\n")[0].rstrip(".")
            raise RunError(f"W&B: {reason}; WANDB_MODE=offline or tracking.wandb: false runs without it") from error


def has_key() -> bool:
    """Whether W&B would find a key: in the environment, or in a netrc file for its host."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).netloc
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


@rank_zero_only
def _run_id(path: Path) -> str | None:
    """The W&B id, stored in the run folder: a resumed run is the same run."""
    if not path.exists():
        path.write_text(secrets.token_hex(4))
    return path.read_text()
