"""What all folds together show: folds.json, predictions.npz, and a table on the terminal."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from statistics import fmean, stdev
from typing import Any

from lightning.pytorch.utilities import rank_zero_only

from resnet_tl.files import atomic_write
from resnet_tl.metrics.evaluated import metrics_of
from resnet_tl.metrics.tables import tables_of
from resnet_tl.run.finished import Run
from resnet_tl.structures.evaluation import Evaluation
from resnet_tl.structures.pooled import pool
from resnet_tl.tracking.log import log_info
from resnet_tl.tracking.predictions import load_evaluation, save_evaluation
from resnet_tl.tracking.run_folder import RunFolder
from resnet_tl.tracking.summary import finite


@rank_zero_only
def write_results(run: RunFolder, folds: Sequence[RunFolder]) -> None:
    """Writes predictions.npz and folds.json of finished folds, and reports them.

    folds.json: `{folds, finished, seconds, metrics, pooled}`. finished: see `run.resume.mark_finished`. metrics: of
    each metric of the best epochs `mean`, `sd` (of samples, n - 1) and `folds`, its values. pooled: of the images of
    all folds, each predicted by the fold that was not trained on it, `{headline, interval, images, metrics}`; None for
    sets without a record of predictions.
    """
    summaries = [Run(fold.path).summary for fold in folds]
    values = _values([summary["best"] for summary in summaries])
    pooled = None
    if all(fold.best_predictions.is_file() for fold in folds):
        evaluation = pool([load_evaluation(fold.best_predictions) for fold in folds])
        save_evaluation(evaluation, run.best_predictions)
        pooled = _pooled(evaluation)
    content = {
        "folds": len(folds),
        "finished": False,
        "seconds": sum(summary["seconds"] for summary in summaries),
        "metrics": {name: {"mean": fmean(each), "sd": stdev(each), "folds": each} for name, each in values.items()},
        "pooled": pooled,
    }
    with atomic_write(run.folds) as file:
        file.write(json.dumps(finite(content), indent=2).encode() + b"\n")
    for line in closing_lines(content, [summary["best"].get("epoch") for summary in summaries]):
        log_info(line)


def closing_lines(content: dict[str, Any], epochs: Sequence[int | None]) -> Iterator[str]:
    """Yields a table of the folds with mean and standard deviation, and the score of all images.

    Args:
        content: of folds.json.
        epochs: the best of each fold, from 0.
    """
    metrics, pooled = content["metrics"], content["pooled"]
    names = [name for name in metrics if pooled is None or name in (f"val/{pooled['headline']}", "val/loss")]
    yield "fold  epoch" + "".join(f"{name:>14}" for name in names)
    for number, epoch in enumerate(epochs):
        values = "".join(f"{metrics[name]['folds'][number]:>14.4g}" for name in names)
        yield f"{number + 1:<4}  {'' if epoch is None else epoch + 1:<5}{values}"
    for row in ("mean", "sd"):
        yield f"{row:<11}" + "".join(f"{metrics[name][row]:>14.4g}" for name in names)
    if pooled is not None:
        headline, interval = f"val/{pooled['headline']}", pooled["interval"]
        between = " (95 % interval {:.4g} to {:.4g})".format(*interval) if interval else ""
        yield (
            f"all {pooled['images']} images, each predicted by the fold that was not trained on it: "
            f"{headline} {pooled['metrics'][headline]:.4g}{between}"
        )


def _values(bests: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    """The values of each metric by fold; metrics that are not a number in one of them are left out."""
    names = [name for name in bests[0] if name.startswith("val/")]
    values = {name: [best.get(name) for best in bests] for name in names}
    return {name: [*each] for name, each in values.items() if None not in each}


def _pooled(evaluation: Evaluation) -> dict[str, Any]:
    metrics = metrics_of(evaluation)
    tables = tables_of(evaluation, metrics)
    return {
        "headline": metrics.headline,
        "interval": tables.interval,
        "images": len(evaluation),
        "metrics": {f"val/{row['metric']}": row["value"] for row in tables.tables["summary"]},
    }
