"""The run at Weights & Biases."""

from __future__ import annotations

import netrc
import os
import secrets
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from resnet_tl.errors import RunError
from resnet_tl.lightning_internals import drop_anonymous
from resnet_tl.tracking.log import log_info
from resnet_tl.tracking.loggers.drawings import Drawing
from resnet_tl.tracking.loggers.identity import group_of
from resnet_tl.tracking.loggers.metrics_csv import MetricsCsv
from resnet_tl.tracking.loggers.run_logger import Outcome, RunLogger
from resnet_tl.tracking.loggers.wandb_file import next_step
from resnet_tl.tracking.loggers.wandb_media import artifact, delete_superseded, native
from resnet_tl.tracking.run_folder import RunFolder
from resnet_tl.tracking.settings import Tracking

WRITE_EVERY = "x_transaction_log_flush_interval"
"""W&B's setting of the seconds between two writes to its file, 15 by default."""


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
    settings = wandb.Settings(save_code=False, quiet=True)
    if hasattr(settings, WRITE_EVERY):  # not in earlier versions
        setattr(settings, WRITE_EVERY, 1.0)  # rows that are not written are lost when the process is killed
    logger = Wandb(
        save_dir=run.path,
        project=tracking.project,
        entity=tracking.entity,
        name=tracking.name or run.name,
        group=None if recipe is None else group_of(recipe),
        tags=[*tracking.tags, *([] if recipe is None else tags(recipe))],
        id=_run_id(run.path / "wandb_id.txt"),
        config=recipe,
        mode=mode,
        settings=settings,
    )
    drop_anonymous(logger)
    return logger


def tags(recipe: dict[str, Any]) -> list[str]:
    """Returns the task and the folder of the images, as tags of W&B: at most 64 characters long."""
    task = recipe["model"]["class_path"].rpartition(".")[2].lower()
    root = recipe["data"]["init_args"].get("root")
    return [task, *([] if root is None else [Path(root).resolve().name[:64]])]


class Wandb(RunLogger, WandbLogger):
    """Lightning's logger; W&B's errors become one sentence, and a resumed run sends nothing twice.

    W&B's own step is the optimizer step too: it never runs backwards, not even in a resumed run that is offline.
    """

    _open_row: int | None = None
    """The step of the row that W&B keeps in memory, for more to be added."""

    def send(self, metrics: Mapping[str, Any], step: int | None) -> None:
        self.experiment.log({**metrics, **({} if step is None else {"trainer/global_step": step})}, step=step)
        self._open_row = step

    @rank_zero_only
    def resume(self, csv: MetricsCsv, dropped: Mapping[int, Collection[str]]) -> None:
        """Also sends the rows that a killed run had not written to its offline file."""
        super().resume(csv, dropped)
        next_missing = next_step(Path(self.save_dir or ".").glob(f"wandb/*run-*-{self.version}/*.wandb"))
        if not self.experiment.offline or next_missing is None:
            return
        self.already_sent = {step: names for step, names in dropped.items() if step < next_missing}
        for step, row in csv.rows(next_missing):
            self.log_metrics(row, step)

    @rank_zero_only
    def end_rows(self, step: int) -> None:
        """Hands the rows before `step`, to which nothing will be added, over to be written."""
        if self._open_row is not None and self._open_row < step:
            self.experiment.log({}, step=self._open_row, commit=True)
            self._open_row = None

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
    """The W&B id, stored in the run folder: a resumed run is the same run. That of a sweep's trial is its agent's."""
    if not path.exists():
        path.write_text((os.environ.get("WANDB_SWEEP_ID") and os.environ.get("WANDB_RUN_ID")) or secrets.token_hex(4))
    return path.read_text()
