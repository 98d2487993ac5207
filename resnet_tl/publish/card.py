"""The model card of a published folder: README.md, as the Hugging Face hub shows it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from resnet_tl.checkpoint import Bundle
from resnet_tl.metrics.score_tables import ScoreTables
from resnet_tl.metrics.tables import tables_of
from resnet_tl.prediction.exported.description import TaskName
from resnet_tl.structures.evaluation import Evaluation
from resnet_tl.weights.publishers import HUB

PIPELINES: dict[TaskName, str] = {
    "classification": "image-classification",
    "segmentation": "image-segmentation",
    "detection": "object-detection",
}
"""The hub's names of tasks."""
DOES: dict[TaskName, str] = {
    "classification": "classifies images",
    "segmentation": "gives each pixel of an image a class",
    "detection": "finds objects in images",
}
LISTED = 20
"""Class names in a sentence."""
FEW = 30
"""Images or objects of a class, below which its scores say little."""
RECIPE = {
    "data": ("image_size", "max_size", "crop", "scales", "augment", "train_transforms", "balanced", "batch_size"),
    "trainer": ("max_epochs", "precision", "accumulate_grad_batches", "global_batch"),
}
"""Of a recipe's sections besides the model, the keys that hold no path and say how it was trained."""
HEADS = {
    "f1": "F1", "ap": "AP", "auroc": "AUROC", "iou": "IoU", "dice": "Dice", "map": "mAP", "map50": "mAP50",
    "map_small": "mAP, small", "map_medium": "mAP, medium", "map_large": "mAP, large",
}  # fmt: skip
"""Columns of a table by class that are not plain words."""
COUNTS = ("images", "targets", "objects", "support")
"""The columns of a table by class that hold how many there are of it."""


@dataclass(frozen=True)
class Card:
    """What a card is about.

    name: its title. source: what `resnet_tl.load` takes.
    evaluation: of the validation images; None if the run has not recorded it.
    trained_on: how many images; None if unknown.
    in_timm: whether timm loads the folder.
    started: the weights that training started from, if they have a name elsewhere.
    examples: names of pictures next to the card.
    """

    name: str
    source: str
    saved: Bundle
    task: TaskName
    evaluation: Evaluation | None
    trained_on: int | None
    in_timm: bool
    licence: str | None
    started: str | None
    examples: Sequence[str]


def write_card(card: Card, folder: Path) -> None:
    """Writes README.md."""
    tables = None
    if card.evaluation is not None:
        decisions = card.saved.decisions
        tables = tables_of(card.evaluation, box_scores=decisions.box_scores, temperature=decisions.temperature)
    text = "\n\n".join(_parts(card, tables))
    ModelCard(f"---\n{_data(card, tables).to_yaml()}\n---\n\n{text}\n").save(folder / "README.md")


def _data(card: Card, tables: ScoreTables | None) -> ModelCardData:
    pipeline, results = PIPELINES[card.task], None
    if tables is not None:
        scores = [row for row in tables.tables["summary"] if row["value"] is not None]
        where: dict[str, Any] = {"task_type": pipeline, "dataset_type": "own", "dataset_name": "validation images"}
        results = [
            EvalResult(metric_type=str(row["metric"]), metric_name=str(row["name"]), metric_value=row["value"], **where)
            for row in scores
        ]
    return ModelCardData(
        license=card.licence or "unknown",
        library_name="timm" if card.in_timm else "resnet_tl",
        pipeline_tag=pipeline,
        tags=["resnet_tl", pipeline],
        model_name=card.name,
        eval_results=results,
    )


def _parts(card: Card, tables: ScoreTables | None) -> Iterator[str]:
    yield f"# {_cell(card.name)}"
    backbone, classes = card.saved.recipe["model"]["init_args"]["backbone"]["name"], card.saved.classes
    start = f" Training started from `{card.started}`." if card.started else ""
    yield f"A `{backbone}` that {DOES[card.task]}: {len(classes)} classes ({_names(classes)}).{start}"
    yield from _use(card)
    if card.examples:
        yield "## Examples\n\nValidation images with what the model predicts for them."
        yield "\n".join(f"![example {number}]({name})" for number, name in enumerate(card.examples, 1))
    yield from _data_part(card)
    yield from _scores(tables)
    yield from _limits(card, tables)
    yield f"## Recipe\n\nTrained for {card.saved.step:,} steps, up to epoch {card.saved.epoch + 1}, by resnet_tl:"
    yield f"```yaml\n{yaml.safe_dump(_recipe(card), sort_keys=False)}```"
    yield f"## Licence\n\n{card.licence or 'Unknown: ask whoever published this before you use it.'}"


def _recipe(card: Card) -> dict[str, Any]:
    sections = card.saved.recipe
    stored = sections["model"]["init_args"]["backbone"]
    model = sections["model"]["init_args"] | {"backbone": {**stored, "weights": card.started}}
    data = (sections.get("data") or {}).get("init_args", {})
    given = {"data": data, "trainer": sections.get("trainer") or {}}
    shown = {name: {key: given[name][key] for key in keys if key in given[name]} for name, keys in RECIPE.items()}
    return {"model": model, **{name: values for name, values in shown.items() if values}}


def _use(card: Card) -> Iterator[str]:
    yield (
        "## Use\n\nWith resnet_tl (`pip install resnet-tl`), which preprocesses images as in validation:\n\n"
        f"```python\nimport resnet_tl\n\nmodel = resnet_tl.load({json.dumps(card.source)})\n"
        'print(model.predict("photo.jpg"))\n```'
    )
    if card.task == "classification" and not card.in_timm:
        yield "timm has no network of this form, so it cannot load this folder."
    if not card.in_timm:
        return
    place = f"hf-hub:{card.source.removeprefix(HUB)}" if card.source.startswith(HUB) else f"local-dir:{card.source}"
    calibrated = " (resnet_tl's probabilities are calibrated, too)" if card.saved.decisions.temperature else ""
    yield (
        f"With timm, as a network from normalised images to logits{calibrated}:\n\n"
        f"```python\nimport timm\n\nmodel = timm.create_model({json.dumps(place)}, pretrained=True).eval()\n"
        "transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))\n```"
    )


def _data_part(card: Card) -> Iterator[str]:
    used = card.saved.preprocessing
    trained = "images" if card.trained_on is None else f"{card.trained_on:,} images"
    counted = "" if card.evaluation is None else f"; {len(card.evaluation):,} others were kept for validation"
    sizes = {
        "classification": f"The short side of an image becomes {int(used.size / used.crop)} pixels, of which the "
        f"centre, {used.size} x {used.size}, is used",
        "segmentation": f"The short side of an image becomes {used.size} pixels"
        if used.size
        else "Images keep their size",
        "detection": f"The short side of an image becomes {used.size} pixels"
        + (f", but the long one at most {used.max_size}" if used.max_size else ""),
    }
    if card.saved.eval_transforms:
        size = "Images go through the project's own transforms of validation"
    else:
        size = f"{sizes[card.task]} ({used.interpolation})"
    yield (
        f"## Data\n\nTrained on {trained} of the publisher's own{counted}. {size}; then values of 0 to 1 are "
        f"normalised by the mean {_numbers(used.mean)} and the standard deviation {_numbers(used.std)}."
    )


def _scores(tables: ScoreTables | None) -> Iterator[str]:
    if tables is None:
        yield "## Scores\n\nNone are recorded: this was published from a checkpoint without its run."
        return
    yield "## Scores\n\nOn the validation images, with 95 % intervals where known, from resampled images:"
    summary = tables.tables["summary"]
    yield _table([{"score": row["name"], "value": row["value"], "95 % interval": _interval(row)} for row in summary])
    ends = {f"{name}_{end}" for name in tables.tables["per_class"][0] for end in ("low", "high")}
    rows = [{_head(key): row[key] for key in row if key not in ends} for row in tables.tables["per_class"]]
    yield f"### By class\n\n{_table(rows)}"


def _limits(card: Card, tables: ScoreTables | None) -> Iterator[str]:
    lines = []
    if tables is not None:
        lines.append(
            "The validation images chose the best epoch, so scores on them are a little optimistic; measure on images "
            "of your own."
        )
        lines += [f"{note[:1].upper()}{note[1:]}." for note in map(_cell, tables.notes)]
        by_class = tables.tables["per_class"]
        if few := [str(row["class"]) for row in by_class if _count(row) < FEW]:
            lines.append(f"Fewer than {FEW} in the validation images, so that the scores say little: {_names(few)}.")
        if missed := [str(row["class"]) for row in by_class if row["recall"] == 0]:
            lines.append(f"Never recognised in the validation images: {_names(missed)}.")
    if card.task == "classification":
        unsure = (
            " `model.predict(images, unsure=True)` recognises many that show none of them."
            if card.saved.class_space
            else ""
        )
        lines.append(
            f"It knows its {len(card.saved.classes)} classes alone, and answers with them for all images.{unsure}"
        )
    lines.append("Images of other cameras, places or times than those of training may give worse results.")
    yield "## Limits\n\n" + "\n".join(f"- {line}" for line in lines)


def _count(row: dict[str, Any]) -> float:
    return next((float(row[name]) for name in COUNTS if row.get(name) is not None), float(FEW))


def _interval(row: dict[str, Any]) -> str:
    return "–" if row["low"] is None else f"{_cell(row['low'])} to {_cell(row['high'])}"


def _names(classes: Sequence[str]) -> str:
    return ", ".join(map(_cell, classes[:LISTED])) + (", ..." if len(classes) > LISTED else "")


def _table(rows: Sequence[dict[str, Any]]) -> str:
    heads = list(rows[0])
    return "\n".join(map(_line, [heads, [":--"] + ["--:"] * (len(heads) - 1), *(row.values() for row in rows)]))


def _head(column: str) -> str:
    if column.startswith("mask_"):
        return f"mask {_head(column.removeprefix('mask_'))}"
    return HEADS.get(column, column.replace("_", " "))


def _line(cells: Iterable[Any]) -> str:
    return f"| {' | '.join(map(_cell, cells))} |"


def _cell(value: Any) -> str:
    """A value as text that Markdown shows as it is."""
    if value is None:
        return "–"
    if isinstance(value, int | float):
        return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"
    text = "".join(f"\\{letter}" if letter in "\\`*_[]<>|#" else letter for letter in str(value))
    return " ".join(text.split())


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)
