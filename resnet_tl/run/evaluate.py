"""Evaluates a run, a checkpoint, or the weights that a recipe names, without training."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, replace
from functools import reduce
from pathlib import Path
from typing import Any, NamedTuple

from resnet_tl import checkpoint
from resnet_tl.data.base import ImageData
from resnet_tl.errors import DataError, RecipeError, WeightsError
from resnet_tl.metrics.score_tables import ScoreTables, assembled, score
from resnet_tl.metrics.tables import tables_of
from resnet_tl.prediction.exported.load import RUNTIMES
from resnet_tl.prediction.members import read_network
from resnet_tl.recipe import shipped
from resnet_tl.recipe.build import foreign_code
from resnet_tl.recipe.node import overlay
from resnet_tl.recipe.values import as_node
from resnet_tl.run.build import (
    Overrides,
    Recipe,
    RecipeSource,
    build_data,
    build_seeded,
    compose,
    resolved,
    tree_of,
)
from resnet_tl.run.data_class import data_options, without_replaced_place
from resnet_tl.run.files_record import same_files
from resnet_tl.run.finished import Run
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
    path: str | Path,
    recipes: Sequence[RecipeSource],
    overrides: Overrides,
    asked: Asked = Asked(),
    *,
    trust_code: bool = False,
) -> Result:
    """Evaluates a run folder's best checkpoint, a checkpoint, or all folds of a folder together, by the recipe inside.

    Args:
        recipes, overrides: overlaid on the checkpoint's recipe.
        trust_code: let the checkpoint name classes outside `resnet_tl`.

    Raises:
        WeightsError: no checkpoint, a damaged one, or one that names code that is not trusted.
        DataError: the images' classes are not the checkpoint's; or folds were trained on the images.
    """
    return _evaluate_run(split, path, recipes, overrides, asked, trust_code, takes_precision=True)[1]


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
    path: str | Path,
    recipes: Sequence[RecipeSource],
    overrides: Overrides,
    asked: Asked,
    trust_code: bool,
    *,
    takes_precision: bool = False,
) -> tuple[Evaluation | None, Result]:
    if Path(path).suffix in RUNTIMES:
        raise RecipeError(f"{path}: {VERBS[split]} needs the checkpoint, whose predictions this exported file has")
    with terminal_log():
        runs = checkpoint.members(path)
        bundle = checkpoint.read(runs[0])
        foreign = None if trust_code else foreign_code({key: bundle.recipe.get(key) for key in ("model", "data")})
        if foreign is not None:
            raise WeightsError(
                f"{bundle.path}: needs {foreign!r}, which is not part of resnet_tl: "
                "add --trust-code if you trust that code"
            )
        recipe, given = _recipe_of(bundle, recipes, overrides), data_options(tree_of(recipes, overrides))
        options = recipe["data"]["init_args"]
        if _is_other_set(bundle, recipe, given):
            options |= {"folds": None, "val_fraction": 1.0}
        elif len(runs) > 1:
            options["folds"] = None
        data, task = build_seeded(recipe)
        if len(runs) > 1:
            _check_new(RunFolder(Path(path)), data, split)
            bundle, task.network = read_network(path, trust_code)
            log_info(f"{path}: {len(runs)} folds together")
        else:
            _load(task, bundle)
            log_info(f"{bundle.path}: epoch {bundle.epoch}, step {bundle.step}")
        precision = bundle.recipe.get("trainer", {}).get("precision") if takes_precision else None
        result = _evaluate(split, recipe, task, data, asked, precision, bundle.decisions)
        evaluation = task.evaluation and replace(task.evaluation, step=bundle.step)
        return evaluation, result


def _load(task: Task, bundle: checkpoint.Bundle) -> None:
    task.network.set_preprocessing(bundle.preprocessing)
    try:
        task.network.load_state_dict(bundle.state_dict)
    except RuntimeError as error:
        raise RecipeError(f"{bundle.path}: its weights do not fit this network; do not change model.* here") from error


def _is_other_set(bundle: checkpoint.Bundle, recipe: Recipe, given: Collection[str]) -> bool:
    """Whether networks of folds are evaluated on a set of which their files.json has no image: all of it is validated
    on, unless an option splits it.

    given: the options of the data that are set for the evaluation.
    """
    run = RunFolder(bundle.path.absolute().parent.parent)
    named, split = {"root", "csv"}.intersection(given), {"folds", "fold", "val_fraction"}.intersection(given)
    if recipe["data"]["init_args"].get("folds") is None or not named or split or not run.files.is_file():
        return False
    return not any(same_files(run, files, ("train", "val")) for files in build_data(recipe).split_files().values())


def _check_new(run: RunFolder, data: ImageData, split: str) -> None:
    """Raises DataError if the networks of folds were trained on images that they are to be evaluated on."""
    used = split if split in data.listings else next(iter(VERBS.keys() - {split}))
    files = data.split_files()
    images = {image.key for image in data.listings.get(used, ())}
    known = [key for key in same_files(run.fold(1), files[used], ("train", "val")) if key in images] if images else []
    if known:
        raise DataError(
            f"{run.path}: its networks were trained on {len(known)} of these {len(images)} images, as "
            f"{known[0]}; {run.folds} has the scores of the images that each was not trained on; expected others, "
            "by --data.root, or `test` with a test split"
        )


def _is_recipe(name: str) -> bool:
    """Whether it is a YAML file or the name of a shipped recipe, rather than a run folder or a checkpoint."""
    if Path(name).exists():
        return Path(name).suffix in (".yaml", ".yml")
    return name.removesuffix(".yaml") in shipped.shipped()


def _recipe_of(bundle: checkpoint.Bundle, recipes: Sequence[RecipeSource], overrides: Overrides) -> Recipe:
    """The bundle's recipe without what belongs to training on the machine it came from."""
    saved = bundle.recipe
    data = saved.get("data") or _default_data(bundle)
    data = {**data, "init_args": {**data["init_args"], "classes": bundle.classes}}
    base = {"model": saved["model"], "data": data, "seed_everything": saved.get("seed_everything", 1)}
    without_weights = {"model": {"init_args": {"backbone": {"weights": None}}}}
    layers = (as_node(base, str(bundle.path)), as_node(without_weights, str(bundle.path)), tree_of(recipes, overrides))
    return resolved(without_replaced_place(reduce(overlay, layers)))


def _default_data(bundle: checkpoint.Bundle) -> dict[str, Any]:
    """A folder of images with the checkpoint's preprocessing: for one trained from Python, without a recipe."""
    seen = asdict(bundle.preprocessing)
    init_args = {"image_size": seen["size"], "crop": seen["crop"], "interpolation": seen["interpolation"]}
    return {"class_path": "ImageFolder", "init_args": init_args}


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
    _prepare(task, data, asked)
    options = recipe["trainer"]
    differs = ""
    if options["precision"] == "auto":  # the same score on every device, equal to that of `predict`
        options = {**options, "precision": "32-true"}
        if run_precision not in (None, "auto", *FULL):
            differs = f", as in predict; --trainer.precision {run_precision} for that of the run's own validations"
    options, precision = resolve_precision(options)
    for line in (*data.notes, *_other_split(split, data), precision + differs):
        log_info(line)
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
        return tables_of(task.evaluation, box_scores=decisions.box_scores, specificity=asked.specificity)
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
