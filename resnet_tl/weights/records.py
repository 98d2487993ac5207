"""The record of a set of weights, which is stored with them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pydantic import BaseModel

from resnet_tl.checkpoint import KEY, StoredPreprocessing, parse_json
from resnet_tl.ranges import NonNegativeFloat
from resnet_tl.structures.records import Preprocessing


@dataclass(frozen=True)
class WeightRecord:
    """Source, preprocessing, classes and licence of weights.

    Args:
        source: the name that was requested, or the file's path.
        sha256: of the file, 64 hex digits, of a publisher's before it is read the first few; None if it is not known.
        preprocessing: what the weights expect; if the file does not state it, the network's default.
        stated: the file itself, or its publisher, states `preprocessing`.
        classes: names in the order of the classifier's outputs; None if unknown. For torchvision's detectors, the 91
            entries of COCO's table by category id, which starts with `__background__` and has gaps called `N/A`.
        licence: as the publisher writes it.
        score: as published, with metric and data set: "80.858 % acc@1 on ImageNet-1K".
        norm_eps: of the batch norms in training, if it is not that of the networks (1e-5).
        floor_strides: the weights are a detector with torchvision's anchors, see `resnet_tl.models.anchors.Anchors`.
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
    """Builds a safetensors header that makes the file self-describing."""
    facts = {
        "preprocessing": asdict(record.preprocessing),
        "classes": record.classes,
        "licence": record.licence,
        "score": record.score,
        "norm_eps": record.norm_eps,
    }
    return {KEY: json.dumps(facts)}


class _Facts(BaseModel):
    """The schema of what `to_metadata` writes."""

    preprocessing: StoredPreprocessing
    classes: tuple[str, ...] | None
    licence: str | None
    score: str | None
    norm_eps: NonNegativeFloat | None = None


def from_metadata(metadata: Mapping[str, str], source: str) -> WeightRecord:
    """Reads the record that `to_metadata` wrote; for other files, it holds the source only.

    Raises:
        WeightsError: it is damaged.
    """
    if KEY not in metadata:
        return WeightRecord(source)
    facts = parse_json(_Facts, metadata[KEY], Path(source), KEY)
    return WeightRecord(
        source,
        preprocessing=Preprocessing(**dict(facts.preprocessing)),
        stated=True,
        classes=facts.classes,
        licence=facts.licence,
        score=facts.score,
        norm_eps=facts.norm_eps,
    )
