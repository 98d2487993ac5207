"""What a report is made of: the files of a run's folder."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from resnet_tl.checkpoint import members
from resnet_tl.data.base import ImageData
from resnet_tl.errors import RunError, UserError
from resnet_tl.files import did_you_mean_path
from resnet_tl.metrics.evaluated import Metrics, metric_options, metrics_of
from resnet_tl.metrics.per_class import Row as TableRow
from resnet_tl.metrics.score_tables import ScoreTables
from resnet_tl.metrics.tables import tables_of
from resnet_tl.recipe.build import foreign_code
from resnet_tl.recipe.node import plain
from resnet_tl.recipe.read import read
from resnet_tl.run.build import Overrides
from resnet_tl.run.data import open_data
from resnet_tl.run.evaluate import record_run, recorded_predictions
from resnet_tl.run.finished import Folds, Run
from resnet_tl.structures.evaluation import Evaluation
from resnet_tl.tracking.predictions import load_evaluation
from resnet_tl.tracking.run_folder import RunFolder

Row = dict[str, float]
"""A row of metrics.csv without its empty cells; `at` is where it is in the run, in epochs."""


@dataclass(frozen=True)
class RunRecord:
    """A run, as its folder holds it.

    data: the data module of its recipe; None where the images are no longer there, and of folds.
    notes: sentences about what could not be read.
    trust_code: whether its checkpoint may name classes outside `resnet_tl`.
    """

    folder: RunFolder
    recipe: dict[str, Any]
    summary: dict[str, Any]
    rows: list[Row]
    evaluation: Evaluation
    data: ImageData | None
    notes: list[str]
    trust_code: bool

    @property
    def name(self) -> str:
        """The run's folder, with the one that holds the runs of its recipe."""
        path = self.folder.path.absolute()
        return f"{path.parent.name}/{path.name}" if path.parent.parent.name == "runs" else path.name

    @cached_property
    def metrics(self) -> Metrics:
        return metrics_of(self.evaluation)

    @cached_property
    def scores(self) -> dict[str, float]:
        return self.metrics.compute(**metric_options(self.evaluation))

    @property
    def loss(self) -> float:
        """The mean loss; of validation, as the best epoch has logged it."""
        if self.evaluation.split == "val":
            return float(self.summary["best"]["val/loss"])
        return float(self.evaluation.losses.mean())

    @cached_property
    def score_tables(self) -> ScoreTables:
        temperature = self.summary.get("decisions", {}).get("temperature")
        return tables_of(self.evaluation, self.metrics, box_scores=self.box_scores, temperature=temperature)

    @property
    def box_scores(self) -> list[float] | None:
        """The scores by class that the run's validation decided on; None: it has not."""
        scores = self.summary.get("decisions", {}).get("box_scores")
        return None if scores is None else [scores[name] for name in self.evaluation.classes]

    @property
    def tables(self) -> dict[str, list[TableRow]]:
        return self.score_tables.tables

    @property
    def best_at(self) -> float | None:
        """Where the best epoch ended, in epochs; None if metrics.csv does not hold it."""
        return next((row["at"] for row in self.rows if row["step"] + 1 == self.evaluation.step), None)


def read_run(
    path: Path,
    overrides: Overrides = (),
    *,
    split: Literal["val", "test"] = "val",
    data: ImageData | None = None,
    trust_code: bool = False,
) -> RunRecord:
    """Reads the folder of a run, or of folds; a run without predictions.npz is evaluated, and has one afterwards unless
    there are overrides. Test images are evaluated each time.

    Args:
        split: whose images the report is about.
        overrides: of the recipe's `data` section, as `data.root` where the images have moved.
        data: of the run, where it is built already.
        trust_code: let the run name classes outside `resnet_tl`.

    Raises:
        RunError: no run is there, it has no validation yet, or no images of the split; or not all folds are trained.
        UserError: the data cannot be opened with these overrides.
    """
    folder = RunFolder(path)
    if folder.is_folds:
        if split != "val":
            raise RunError(
                f"--split {split}: {path} holds folds, of which only the validation images are reported together; "
                f"report one of them: resnet-tl report {members(path)[0]} --split {split}"
            )
        return _read_folds(folder, overrides, trust_code)
    if not folder.summary.is_file():
        raise RunError(f"{path}: no run; expected a folder with summary.json{did_you_mean_path(path)}")
    recipe = plain(read(folder.recipe))
    summary, rows = json.loads(folder.summary.read_text(encoding="utf-8")), _rows(folder.metrics)
    if not summary["best"]:
        raise RunError(f"{path}: the run has not been validated yet, so there is nothing to report")
    notes: list[str] = []
    if data is None:
        data = _open_data(folder, recipe, overrides, trust_code, notes)
    if split == "val":
        evaluation = recorded_predictions(folder, overrides, trust_code=trust_code)
    else:
        if data is not None and split not in data.listings:
            raise RunError(
                f"--split {split}: {data.root} has no {split} images, but {' and '.join(data.listings)}; "
                "name a folder that has some: --data.root PATH"
            )
        evaluation = record_run(path, overrides, split, trust_code=trust_code)
    if data is not None:
        evaluation = replace(evaluation, root=str(data.evaluated(split).root))
    return RunRecord(folder, recipe, summary, rows, evaluation, data, notes, trust_code)


def _read_folds(folder: RunFolder, overrides: Overrides, trust_code: bool) -> RunRecord:
    """A run whose predictions are those of each fold for the images that it was not trained on.

    There is no data module of all these images; each fold's own has those that it predicted.
    """
    runs = [Run(run) for run in members(folder.path)]
    content = Folds(folder.path).summary
    if content["pooled"] is None:
        raise RunError(f"{folder.path}: the set is too large for a record of predictions; report its folds one by one")
    recipe, notes = plain(read(folder.recipe)), list[str]()
    recipe["trainer"]["precision"] = plain(read(RunFolder(runs[0].path).recipe))["trainer"]["precision"]  # not `auto`
    data, evaluation = (
        _open_data(folder, recipe, overrides, trust_code, notes),
        load_evaluation(folder.best_predictions),
    )
    if data is not None:
        evaluation = replace(evaluation, root=str(data.evaluated("val").root))
    epoch = round(fmean(run.best["epoch"] for run in runs))
    means = {name: each["mean"] for name, each in content["metrics"].items()}
    machine = {key: runs[0].summary[key] for key in ("versions", "git")}
    summary = {**machine, **content, "best": {**means, "epoch": epoch}}
    return RunRecord(folder, recipe, summary, [], evaluation, None, notes, trust_code)


def _open_data(
    folder: RunFolder, recipe: dict[str, Any], overrides: Overrides, trust_code: bool, notes: list[str]
) -> ImageData | None:
    foreign = None if trust_code else foreign_code(recipe["data"])
    if foreign is not None:
        notes.append(
            f"The images are not shown: the data needs {foreign!r}, which is not part of resnet_tl (--trust-code)."
        )
        return None
    try:
        return open_data([folder.recipe], overrides)
    except UserError as error:
        if overrides:  # what the user has named is not left out
            raise
        end = "" if str(error).endswith("?") else "."
        notes.append(f"The images are not shown: {error}{end} If they have moved: --data.root PATH.")
        return None


def _rows(path: Path) -> list[Row]:
    with open(path, newline="", encoding="utf-8") as file:
        rows = [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]
    finite = [{name: value for name, value in row.items() if math.isfinite(value)} for row in rows]
    per_epoch = max(((row["step"] + 1) / (row["epoch"] + 1) for row in finite if "val/loss" in row), default=1.0)
    return [{**row, "at": (row["step"] + 1) / per_epoch} for row in finite]
