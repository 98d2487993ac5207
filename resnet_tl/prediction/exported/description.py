"""What an exported file knows about itself: enough to preprocess images, name classes and be evaluated."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from annotated_types import MaxLen, MinLen

from resnet_tl.checkpoint import KEY, VERSION, Bundle, Stored, parse_json, parse_stored
from resnet_tl.errors import WeightsError
from resnet_tl.ranges import Fraction, NonNegativeInt, PositiveInt
from resnet_tl.structures.decisions import Decisions
from resnet_tl.structures.records import Preprocessing

TaskName: TypeAlias = Literal["classification", "segmentation", "detection"]
OUTPUTS: dict[TaskName, tuple[str, ...]] = {
    "classification": ("probabilities",),
    "segmentation": ("logits",),
    "detection": ("boxes", "scores", "labels", "masks"),
}
"""Names of a graph's outputs; masks are there if the head predicts them."""


class Description(Stored):
    """The content of a file's entry `resnet_tl`: what a checkpoint stores beside its weights, and about the graph:

    thresholds: of several labels, those of the calibrated probabilities. batch: the only number of images that the
    graph takes; None for any. size: the only (h, w); None for any. epoch, step: as in `Bundle`.
    """

    task: TaskName
    outputs: list[str]
    thresholds: list[Fraction] | None
    batch: PositiveInt | None
    size: Annotated[list[PositiveInt], MinLen(2), MaxLen(2)] | None
    epoch: NonNegativeInt
    step: NonNegativeInt


def describe(
    bundle: Bundle, task: TaskName, outputs: list[str], thresholds: list[float] | None, *, batch: int | None,
    size: tuple[int, int] | None,
) -> str:  # fmt: skip
    """Returns the description of an exported checkpoint as JSON. The graph applies the temperature itself."""
    return json.dumps(
        {
            "version": VERSION,
            "recipe": bundle.recipe,
            "classes": bundle.classes,
            "preprocessing": asdict(bundle.preprocessing),
            "eval_transforms": bundle.eval_transforms,
            "colours": bundle.colours,
            "codes": bundle.codes,
            "decisions": asdict(replace(bundle.decisions, temperature=None)),
            "task": task,
            "outputs": outputs,
            "thresholds": thresholds,
            "batch": batch,
            "size": size,
            "epoch": bundle.epoch,
            "step": bundle.step,
        }
    )


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
    stored, recipe = parse_stored(content, path)
    description = parse_json(Description, text, path)
    bundle = Bundle(
        path=path,
        state_dict={},
        recipe=recipe,
        classes=stored.classes,
        preprocessing=Preprocessing(**dict(stored.preprocessing)),
        eval_transforms=stored.eval_transforms,
        colours=stored.colours,
        codes=stored.codes,
        decisions=stored.decisions,
        class_space=None,
        epoch=description.epoch,
        step=description.step,
    )
    return description, bundle


def calibrated_thresholds(thresholds: list[float] | None, decisions: Decisions) -> list[float] | None:
    """Returns the thresholds of calibrated probabilities that predict what `thresholds` do of the network's own."""
    if thresholds is None:
        return None
    import numpy as np

    return decisions.calibrated(np.array([thresholds]), multi_label=True)[0].tolist()
