"""Evaluates a trained network, or the weights that a recipe names, without training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from resnet_tl.data.base import ImageData
from resnet_tl.errors import RecipeError
from resnet_tl.metrics.score_tables import ScoreTables, assembled, score
from resnet_tl.metrics.tables import tables_of
from resnet_tl.recipe import shipped
from resnet_tl.run.build import (
    Overrides,
    Recipe,
    RecipeSource,
    build_seeded,
    compose,
)
from resnet_tl.run.ddp import check_strategy
from resnet_tl.run.evaluated import Opened, open_evaluated
from resnet_tl.run.evaluation_recipe import build_evaluation, check_new, recipe_for
from resnet_tl.run.finished import Run
from resnet_tl.run.launch import check_others
from resnet_tl.run.trainer import build_trainer, resolve_precision, translate_errors
from resnet_tl.structures.decisions import Decisions
from resnet_tl.structures.evaluation import Evaluation
from resnet_tl.tasks.base import Task
from resnet_tl.tasks.classification import Classification
from resnet_tl.tasks.segmentation import Segmentation
from resnet_tl.tracking.log import log_info
from resnet_tl.tracking.predictions import load_evaluation, save_evaluation
from resnet_tl.tracking.run_folder import RunFolder
from resnet_tl.tracking.terminal import terminal_log

Result = dict[str, Any]
"""`{metrics, headline, interval, images, classes, per_class, ..., tables, notes}`, plain Python; `tables` and `notes`
are those of `metrics.score_tables`."""


class Asked(NamedTuple):
    """What is measured only where someone asks for it.

    specificity: 0...1, at which the sensitivity of each class is reported (`Classification`).
    spacing: side of a pixel of the image files, for distances between surfaces in its unit (`Segmentation`).
    """

    specificity: float | None = None
    spacing: float | None = None


VERBS = {"val": "validate", "test": "test"}

FULL = ("32", "32-true", 32)
"""Lightning's names of full precision."""


def evaluate(
    recipe_or_run: RecipeSource | Run,
    split: str,
    overlays: Sequence[RecipeSource],
    overrides: Overrides,
    asked: Asked,
    *,
    trust_code: bool = False,
) -> Result:
    """Evaluates a run or a recipe, whichever is given. See `resnet_tl.evaluate`."""
    if split not in VERBS:
        raise RecipeError(f"split is {split!r}; expected 'val' or 'test'")
    if isinstance(recipe_or_run, Run):
        recipe_or_run = recipe_or_run.path
    if isinstance(recipe_or_run, Mapping) or _is_recipe(str(recipe_or_run)):
        return evaluate_recipe(split, [recipe_or_run, *overlays], overrides, asked)
    return evaluate_run(split, recipe_or_run, overlays, overrides, asked, trust_code=trust_code)


def evaluate_recipe(
    split: str, recipes: Sequence[RecipeSource], overrides: Overrides, asked: Asked = Asked()
) -> Result:
    """Evaluates the weights that a recipe names, as they are.

    Raises:
        RecipeError: the classifier would be random.
    """
    with terminal_log():
        recipe = compose(recipes, overrides)
        data, task = build_seeded(recipe)
        if "head" not in task.loaded_stages:
            raise RecipeError(
                f"{VERBS[split]} would score a random classifier: no weights for it were loaded; name a run folder or "
                "checkpoint, or weights with a classifier of these classes and "
                "--model.backbone.keep_classifier true"
            )
        return _evaluate(split, recipe, task, data, asked)


def evaluate_run(
    split: str,
    source: str | Path | Opened,
    recipes: Sequence[RecipeSource],
    overrides: Overrides,
    asked: Asked = Asked(),
    *,
    trust_code: bool = False,
) -> Result:
    """Evaluates a trained network by the recipe inside.

    Args:
        source: a run folder (its best checkpoint), a checkpoint, a folder of folds (all together), a published folder,
            or an exported file, which has no loss; one that is open already is taken too.
        recipes, overrides: overlaid on the checkpoint's recipe.
        trust_code: let the checkpoint name classes outside `resnet_tl`.

    Raises:
        WeightsError: no checkpoint, a damaged one, or one that names code that is not trusted.
        DataError: the images' classes are not the checkpoint's; or folds were trained on the images.
    """
    return _evaluate_run(split, source, recipes, overrides, asked, trust_code, takes_precision=True)[1]


def record_run(path: str | Path, overrides: Overrides, split: str = "val", *, trust_code: bool = False) -> Evaluation:
    """Evaluates a run folder's best checkpoint on the images of a split, as `evaluate_run` does, and returns the
    predictions.

    Raises:
        RecipeError: the set is too large for them.
    """
    evaluation, _ = _evaluate_run(split, path, [], overrides, Asked(), trust_code)
    if evaluation is None:
        raise RecipeError(f"{path}: images times classes are too many for a record of all probabilities")
    return evaluation


def recorded_predictions(run: RunFolder, overrides: Overrides = (), *, trust_code: bool = False) -> Evaluation:
    """Returns what the best epoch of a run predicted for its validation images; a run without predictions.npz is
    evaluated as by `record_run`, and has one afterwards unless there are overrides."""
    if run.best_predictions.is_file():
        return load_evaluation(run.best_predictions)
    evaluation = record_run(run.path, overrides, trust_code=trust_code)
    if not overrides:
        save_evaluation(evaluation, run.best_predictions)
    return evaluation


def _evaluate_run(
    split: str,
    source: str | Path | Opened,
    recipes: Sequence[RecipeSource],
    overrides: Overrides,
    asked: Asked,
    trust_code: bool,
    *,
    takes_precision: bool = False,
) -> tuple[Evaluation | None, Result]:
    with terminal_log():
        evaluated = open_evaluated(source, trust_code)
        bundle = evaluated.bundle
        recipe = recipe_for(evaluated, recipes, overrides)
        data, task = build_evaluation(recipe, evaluated)
        if evaluated.folds is not None:
            check_new(evaluated.folds, data, split)
        log_info(str(evaluated))
        precision = bundle.recipe.get("trainer", {}).get("precision") if takes_precision else None
        result = _evaluate(split, recipe, task, data, asked, precision, bundle.decisions)
        result["notes"] += evaluated.notes
        evaluation = task.evaluation and replace(task.evaluation, step=bundle.step)
        return evaluation, result


def _is_recipe(name: str) -> bool:
    """Whether it is a YAML file or the name of a shipped recipe, rather than a run folder or a checkpoint."""
    if Path(name).exists():
        return Path(name).suffix in (".yaml", ".yml")
    return name.removesuffix(".yaml") in shipped.shipped()


def _evaluate(
    split: str,
    recipe: Recipe,
    task: Task,
    data: ImageData,
    asked: Asked,
    run_precision: str | None = None,
    decisions: Decisions = Decisions(),
) -> Result:
    """run_precision, decisions: of the run that is evaluated: `trainer.precision`, None where the user cannot choose
    it, and what validation decided."""
    check_strategy(recipe["trainer"]["strategy"])
    check_others(recipe["trainer"])
    _prepare(task, data, asked)
    options, precision = _with_precision(recipe["trainer"], task, run_precision)
    for line in (*data.notes, *_other_split(split, data), precision):
        log_info(line)
    data.prefetch = options["prefetch"]
    trainer = build_trainer(options, callbacks=[], loggers=[])
    with translate_errors():
        results = getattr(trainer, VERBS[split])(task, datamodule=data, verbose=False)
    loader: Any = trainer.test_dataloaders if split == "test" else trainer.val_dataloaders
    skipped = data.skipped()
    for sentence in skipped:
        log_info(f"skipped: {sentence}")
    if not results:
        raise RecipeError("no batch is left to evaluate; raise trainer.limit_val_batches or limit_test_batches")
    tables = _tables(split, task, results[0], decisions, asked)
    return {
        "metrics": results[0],
        "headline": task.metrics.headline,
        "interval": tables.interval and list(tables.interval),
        "images": len(loader.dataset) - len(skipped),
        "classes": task.classes,
        **task.tables,
        **tables._asdict(),
    }


def _with_precision(options: dict[str, Any], task: Task, run_precision: str | None) -> tuple[dict[str, Any], str]:
    """Returns the `trainer` section with full precision where none is set: the same score on every device, equal to
    that of `predict`; and a line about it."""
    if options["precision"] != "auto":
        if not task.has_loss:
            raise RecipeError("trainer.precision: an exported file computes as it was written; remove it")
        options, chosen = resolve_precision(options)
        return options, str(chosen)
    options, full = resolve_precision({**options, "precision": "32-true"})
    if not task.has_loss:
        return options, "precision: that of the exported file"
    if run_precision in (None, "auto", *FULL):
        return options, str(full)
    return options, f"{full}, as in predict; --trainer.precision {run_precision} for that of the run's own validations"


def _prepare(task: Task, data: ImageData, asked: Asked) -> None:
    """Has the task measure what is asked for.

    Raises RecipeError where that is not possible.
    """
    for name, kind in (("specificity", Classification), ("spacing", Segmentation)):
        if getattr(asked, name) is not None and not isinstance(task, kind):
            raise RecipeError(
                f"{name} is an option for {kind.__name__}, and this is {type(task).__name__}; leave it out"
            )
    if asked.specificity is not None and not 0 < asked.specificity < 1:
        raise RecipeError(f"specificity is {asked.specificity:g}; expected a share between 0 and 1, as 0.95")
    if asked.spacing is not None:
        assert isinstance(task, Segmentation)
        if not 0 < asked.spacing < math.inf:
            raise RecipeError(f"spacing is {asked.spacing:g}; expected the side of a pixel, as 0.5 (mm)")
        if data.eval_transforms is not None:
            raise RecipeError(
                "spacing needs images of a known scale, and data.eval_transforms may change it; set it to null"
            )
        task.measure_surfaces(asked.spacing)


def _tables(split: str, task: Task, logged: Mapping[str, float], decisions: Decisions, asked: Asked) -> ScoreTables:
    """The tables of the predictions; what the pass has counted, where they are too many to be recorded."""
    if task.evaluation is not None:
        return tables_of(
            task.evaluation,
            box_scores=decisions.box_scores,
            temperature=decisions.temperature,
            specificity=asked.specificity,
        )
    headline = f"{split}/{task.metrics.headline}"
    others = (name for name in logged if name not in (headline, f"{split}/loss"))
    summary = [
        score(task.metrics.headline, logged[headline], task.interval),
        *(score(name.removeprefix(f"{split}/"), logged[name]) for name in others),
    ]
    return ScoreTables(assembled(summary, task.tables, task.classes), [])


def _other_split(split: str, data: ImageData) -> list[str]:
    """A line where the images are those of another split, which runs may have been chosen by."""
    if split in data.listings:
        return []
    (used,) = VERBS.keys() - {split}
    return [f"{VERBS[split]}: there is no {split} split; these are the results of the {used} images"]
