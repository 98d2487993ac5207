"""What an exported file knows about itself: enough to preprocess images, name classes and be evaluated."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from resnet_tl.checkpoint import KEY, Bundle, Stored, bundle, parse_json, parse_stored, restored
from resnet_tl.errors import WeightsError
from resnet_tl.ranges import Fraction, NonNegativeInt, PositiveFloat, PositiveInt
from resnet_tl.structures.decisions import Decisions

TaskName: TypeAlias = Literal["classification", "segmentation", "detection", "regression"]
OUTPUTS: dict[TaskName, tuple[str, ...]] = {
    "classification": ("probabilities",),
    "segmentation": ("logits",),
    "detection": ("boxes", "scores", "labels", "masks"),
    "regression": ("values",),
}
"""Names of a graph's outputs; masks are there if the head predicts them."""


class Description(Stored):
    """The content of a file's entry `resnet_tl`: what a checkpoint stores beside its weights, and about the graph:

    thresholds: of several labels, those of the calibrated probabilities. sd, coverage: of numbers, as their head has
    them. calibrated: whether the graph applies a temperature. batch: the only number of images that the graph takes;
    None for any. aligned: how its masks are pasted, see `resnet_tl.models.pasting`. epoch, step: as in `Bundle`.
    """

    task: TaskName
    outputs: list[str]
    thresholds: list[Fraction] | None
    sd: list[PositiveFloat] | None = None
    coverage: Fraction | None = None
    calibrated: bool = False
    batch: PositiveInt | None
    aligned: bool = False
    epoch: NonNegativeInt
    step: NonNegativeInt


def describe(
    saved: Bundle,
    task: TaskName,
    outputs: list[str],
    thresholds: list[float] | None,
    batch: int | None,
    *,
    aligned: bool = False,
    sd: list[float] | None = None,
    coverage: float | None = None,
) -> str:
    """Returns the description of an exported checkpoint as JSON; see `Description`. The graph applies the temperature
    itself."""
    stored = bundle(
        saved.recipe["model"],
        saved.classes,
        saved.preprocessing,
        saved.recipe,
        eval_transforms=saved.eval_transforms,
        colours=saved.colours,
        codes=saved.codes,
        new_classes=saved.new_classes,
    )
    of_graph: dict[str, Any] = {"task": task, "outputs": outputs, "thresholds": thresholds, "batch": batch}
    of_graph |= {"aligned": aligned, "sd": sd, "coverage": coverage}
    of_graph["calibrated"] = saved.decisions.temperature is not None
    decisions = asdict(replace(saved.decisions, temperature=None))
    return json.dumps(stored | of_graph | {"decisions": decisions, "epoch": saved.epoch, "step": saved.step})


def read_description(text: str | None, path: Path) -> tuple[Description, Bundle]:
    """Checks the description in a file, which anyone may have written. Returns it, and it as a bundle without weights.

    Raises:
        WeightsError: there is none, or a key is missing or has a value of the wrong type or range.
    """
    if text is None:
        raise WeightsError(f"{path}: not exported by `resnet-tl export`: it has no entry {KEY!r}")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{path}: not valid: its entry {KEY!r} is not JSON ({error})") from None
    parse_stored(content, path)  # first: it says which files are of newer versions
    description = parse_json(Description, text, path)
    if description.task == "regression" and len(description.sd or []) != len(description.classes):
        raise WeightsError(f"{path}: not valid: sd has not as many entries as there are numbers")
    counts = {"epoch": description.epoch, "global_step": description.step}
    return description, restored({KEY: content, "state_dict": {}, **counts}, path)


def calibrated_thresholds(thresholds: list[float] | None, decisions: Decisions) -> list[float] | None:
    """Returns the thresholds of calibrated probabilities that predict what `thresholds` do of the network's own."""
    if thresholds is None:
        return None
    return decisions.calibrated(np.array([thresholds]), multi_label=True)[0].tolist()
