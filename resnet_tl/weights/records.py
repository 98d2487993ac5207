"""What is known about a set of weights; it travels with them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from resnet_tl.checkpoint import KEY
from resnet_tl.structures.records import Preprocessing


@dataclass(frozen=True)
class WeightRecord:
    """Where weights come from, how they want their images, what they know and what one may do with them.

    Args:
        source: the name they were asked for, or the file's path.
        sha256: of the file, 64 hex digits; None where it has not been written yet.
        preprocessing: how they want their images; of a file that says nothing, what its network expects by default.
        stated: the file itself, or its publisher, states `preprocessing`.
        classes: names in the order of the classifier's outputs; None where nobody knows. Of torchvision's detectors the
            91 entries of COCO's table by category id, which begins with `__background__` and has gaps called `N/A`.
        licence: as the publisher writes it.
        score: as published, with metric and data set: "80.858 % acc@1 on ImageNet-1K".
        floor_strides: of a detector whose anchors were torchvision's, see `resnet_tl.models.anchors.Anchors`.
        norm_eps: that the batch norms were trained with, where it is not what networks have (1e-5).
    """

    source: str
    sha256: str | None = None
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    stated: bool = False
    classes: tuple[str, ...] | None = None
    licence: str | None = None
    score: str | None = None
    norm_eps: float | None = None
    floor_strides: bool = False


def to_metadata(record: WeightRecord) -> dict[str, str]:
    """A safetensors header that makes the file self-describing."""
    facts = {
        "preprocessing": asdict(record.preprocessing),
        "classes": record.classes,
        "licence": record.licence,
        "score": record.score,
        "norm_eps": record.norm_eps,
    }
    return {KEY: json.dumps(facts)}


def from_metadata(metadata: Mapping[str, str], source: str) -> WeightRecord:
    """The record that `to_metadata` wrote; of any other file, the source alone."""
    if KEY not in metadata:
        return WeightRecord(source)
    facts = json.loads(metadata[KEY])
    return WeightRecord(
        source,
        preprocessing=preprocessing_from(facts["preprocessing"]),
        stated=True,
        classes=None if facts["classes"] is None else tuple(facts["classes"]),
        licence=facts["licence"],
        score=facts["score"],
        norm_eps=facts.get("norm_eps"),
    )


def preprocessing_from(values: Mapping[str, Any]) -> Preprocessing:
    """From plain Python, where JSON made lists of the tuples."""
    return Preprocessing(**{**values, "mean": tuple(values["mean"]), "std": tuple(values["std"])})
