"""What a server says about its model."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from resnet_tl.checkpoint import FOLDS
from resnet_tl.errors import UserError
from resnet_tl.metrics.names import NAMES, metric_name
from resnet_tl.prediction.classification import ClassPredictor
from resnet_tl.prediction.detection import BoxPredictor
from resnet_tl.prediction.load import AnyPredictor
from resnet_tl.run.finished import Folds, Run
from resnet_tl.serve.explanation import obstacle
from resnet_tl.serve.settings import Settings


class Model(NamedTuple):
    """name: for people. metrics: of the validation images, by the names that people know."""

    name: str
    metrics: dict[str, float]


class Abilities(NamedTuple):
    """Whether predictions can be explained, and images unlike those of training recognised."""

    explain: bool
    unsure: bool


def describe(path: str) -> Model:
    """Returns what is known of a model by its path: of a run folder, or a folder of folds, the validation metrics."""
    place = Path(path)
    if (place / FOLDS).is_file():
        metrics = Folds(place).best
    elif (place / "summary.json").is_file():
        metrics = Run(place).best
    else:
        metrics = {}
    name = place.resolve().name if place.exists() else path
    known = {key: value for key, value in metrics.items() if key.removeprefix("val/") in NAMES and value >= 0}
    return Model(name, {metric_name(key): value for key, value in known.items()})


def abilities(predictor: AnyPredictor) -> Abilities:
    return Abilities(obstacle(predictor) is None, isinstance(predictor, ClassPredictor) and _recognises(predictor))


def _recognises(predictor: ClassPredictor) -> bool:
    try:
        predictor.options(unsure=True)
    except UserError:
        return False
    return True


def about(model: Model, predictor: AnyPredictor, can: Abilities, settings: Settings) -> dict[str, Any]:
    """Returns the answer of `GET /model`."""
    limits = ("max_bytes", "max_pixels", "max_images")
    return {
        "name": model.name,
        "task": predictor.task,
        "classes": predictor.classes,
        "preprocessing": asdict(predictor.preprocessing),
        "metrics": model.metrics,
        "scores": _decided(predictor),
        "options": can._asdict(),
        "limits": {name: getattr(settings, name) for name in limits},
    }


def _decided(predictor: AnyPredictor) -> dict[str, float] | None:
    """Returns the score of each class from which on a detector predicts its objects, as validation decided."""
    if not isinstance(predictor, BoxPredictor) or predictor.decisions.box_scores is None:
        return None
    return dict(zip(predictor.classes, predictor.decisions.box_scores, strict=True))
