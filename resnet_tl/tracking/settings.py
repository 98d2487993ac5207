"""The recipe's `tracking` section."""

from __future__ import annotations

from dataclasses import dataclass, field

from resnet_tl.ranges import NonNegativeInt, PositiveInt, checked


@checked("tracking")
@dataclass(frozen=True)
class Tracking:
    """How often a run is saved, and where it is logged in addition to its own folder.

    Args:
        checkpoint_every: optimizer steps between two saves of last.ckpt; null: only after epochs.
        keep_head: save head.ckpt when the phases that train the head alone are over: what `resnet-tl average RUN
            --wise-ft` mixes with the end of the run. It takes the size of the weights.
        wandb: log to Weights & Biases; without a key offline, for `wandb sync` to upload later.
        project, entity, name, tags: of the W&B run; the default name is the run folder's.
        mlflow: log to the MLflow server of MLFLOW_TRACKING_URI, without one to mlruns/ in the run folder (needs
            `pip install 'resnet-tl[mlflow]'`).
        charts: draw the best validation so far in the loggers: confusion matrix, table of classes, calibration curve.
        images: of its images so many are drawn with labels and predictions, half of them those of the highest loss, the
            others of a typical one; 0: none.
        table_rows: of the table of validation predictions at the end, which has the highest losses first; 0: no table.
        artifacts: send best.ckpt, last.ckpt, and a record of the data (its files by digest, no images) at the end.
        decisions: at the end, decide on the validation images what `predict` applies: the temperature of probabilities,
            the intervals of numbers, and the limits of `--unsure`, which takes a pass over up to 4,000 images.
        report: write report.html at the end of the run (needs `pip install 'resnet-tl[report]'`).
        tensorboard: write event files to the run folder (needs `pip install tensorboard`).
    """

    checkpoint_every: PositiveInt | None = 500
    keep_head: bool = True
    wandb: bool = False
    project: str = "resnet_tl"
    entity: str | None = None
    name: str | None = None
    tags: list[str] = field(default_factory=list)
    charts: bool = True
    images: NonNegativeInt = 8
    table_rows: NonNegativeInt = 1000
    artifacts: bool = False
    decisions: bool = True
    report: bool = True
    tensorboard: bool = False
    mlflow: bool = False
