"""What a search varies of a recipe: the keys that matter most in fine-tuning, in ranges around the recipe's values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

from resnet_tl.data.images.augment import PRESETS
from resnet_tl.imports import import_object
from resnet_tl.run.build import Recipe
from resnet_tl.tasks.classification import Classification
from resnet_tl.tasks.regression import Regression
from resnet_tl.tasks.segmentation import Segmentation

Parameter: TypeAlias = dict[str, Any]
"""How a key is drawn, in the words of W&B: `{distribution: log_uniform_values, min: 0.002, max: 0.2}`."""


def space_of(recipe: Recipe) -> dict[str, Parameter]:
    """Returns how each key of the search is drawn.

    Args:
        recipe: resolved.
    """
    return dict(_parameters(recipe["model"]["init_args"], recipe["data"]["init_args"]))


def headline_of(recipe: Recipe) -> str:
    """Returns the metric of validation by which a run of the recipe chooses its best epoch."""
    task = import_object(recipe["model"]["class_path"])
    if issubclass(task, Classification):
        return "val/map" if _head(recipe["model"]["init_args"]).get("multi_label") else "val/acc"
    if issubclass(task, Regression):
        return "val/mae"
    return "val/miou" if issubclass(task, Segmentation) else "val/map"


def value_at(recipe: Any, key: str) -> Any:
    """Returns the value of a resolved recipe at a key as options name it: `model.tuning.phases.0.epochs`.

    Raises LookupError: the recipe has no such key.
    """
    for part in key.split("."):
        if isinstance(recipe, list):
            recipe = recipe[int(part)]
        else:
            recipe = recipe[part] if part in recipe else recipe["init_args"][part]
    return recipe


def overlay_of(recipe: Any, places: Sequence[Sequence[str]]) -> Any:
    """Returns the part of a resolved recipe that sets the keys at `places`, to lay over other recipes. A list of which
    it sets a part is there as a whole."""
    if [] in places or not isinstance(recipe, dict):
        return recipe
    inside = {key: [place[1:] for place in places if place[0] == key] for key in recipe}
    if "init_args" in recipe:
        inside["init_args"] = [place for place in places if place[0] not in recipe]
    return {key: overlay_of(recipe[key], below) for key, below in inside.items() if below}


def _parameters(model: dict[str, Any], data: dict[str, Any]) -> Iterator[tuple[str, Parameter]]:
    for name in ("lr", "weight_decay"):
        if model["optimizer"][name] > 0:
            yield f"model.optimizer.{name}", _around(model["optimizer"][name])
    phases = model["tuning"]["phases"]
    for number, phase in enumerate(phases if isinstance(phases, list) else []):
        if isinstance(phase["epochs"], float):  # a share of the run, which fits any `max_epochs`
            share = phase["epochs"]
            yield f"model.tuning.phases.{number}.epochs", _uniform(share / 2, min(2 * share, (1 + share) / 2))
        if phase["layer_decay"] < 1:
            yield f"model.tuning.phases.{number}.layer_decay", _uniform(phase["layer_decay"] ** 2, 1.0)
    head = _head(model)
    if "label_smoothing" in head:
        yield "model.head.label_smoothing", _uniform(0.0, max(0.2, head["label_smoothing"]))
    if data.get("augment") in PRESETS and not data.get("train_transforms"):
        yield "data.augment", {"values": list(PRESETS)}


def _around(value: float) -> Parameter:
    """From a tenth of it to ten times as much."""
    return {"distribution": "log_uniform_values", "min": _rounded(value / 10), "max": _rounded(value * 10)}


def _uniform(low: float, high: float) -> Parameter:
    return {"distribution": "uniform", "min": _rounded(low), "max": _rounded(high)}


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def _head(model: dict[str, Any]) -> dict[str, Any]:
    options: dict[str, Any] = model["head"].get("init_args", {})
    return options
