"""What `benchmarks low_data` compares: ways of fine-tuning on few images, each with the values to choose from.

A new way is a line of `METHODS`; one that is put together from others is a line of `COMBINATIONS`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.short_fits import ALONE, Extras, Overrides

REGULARISERS = "model.tuning.regularisers"
PHASES = "model.tuning.phases"
PLAIN: Overrides = {
    PHASES: [{"epochs": 0.1, "train": ["head"]}, {"train": "all"}],
    "model.tuning.ema": None,
    "data.augment": "light",
}
"""Plain fine-tuning: the head for a tenth of the epochs, then everything at one rate, cosine. What else the recipe
`short_fits.RECIPE` has is left as it is."""


@dataclass(frozen=True)
class Variant:
    """A way with its values.

    Args:
        overrides: on top of `PLAIN`.
        rate: of the optimizer, times that of plain fine-tuning.
        longer: epochs, times those of plain fine-tuning.
        extras: what is trained or done besides.
    """

    overrides: Overrides = field(default_factory=dict)
    rate: float = 1.0
    longer: int = 1
    extras: Extras = ALONE


def _regulariser(name: str, argument: str, *values: float) -> dict[str, Variant]:
    return {
        f"{value:g}": Variant({REGULARISERS: [{"class_path": name, "init_args": {argument: value}}]})
        for value in values
    }


def _values(key: str, *values: Any) -> dict[str, Variant]:
    return {str(value): Variant({key: value}) for value in values}


def _layer_decay(decay: float) -> Variant:
    return Variant({PHASES: [{"epochs": 0.1, "train": ["head"]}, {"train": "all", "layer_decay": decay}]})


_SOLVED = [{"train": ["head"], "solver": "lbfgs"}, {"train": "all", "restart": True}]

METHODS: dict[str, Mapping[str, Variant]] = {
    "plain": {"": Variant()},
    "L2SP": _regulariser("L2SP", "strength", 0.001, 0.01, 0.1),
    "DELTA": _regulariser("DELTA", "strength", 0.005, 0.05, 0.5),
    "BSS": _regulariser("BSS", "strength", 0.001, 0.01),
    "StochNorm": _regulariser("StochNorm", "by_running", 0.25, 0.5),
    "LwF": _regulariser("LwF", "strength", 0.3, 1.0),
    "CoTuning": _regulariser("CoTuning", "strength", 0.5, 2.3),
    "BiTuning": _regulariser("BiTuning", "strength", 0.1, 1.0),
    "head alone, solved": {"": Variant({PHASES: [_SOLVED[0]], "trainer.max_epochs": 1})},
    "`lpft_solved`": {f"rate x {rate}": Variant({PHASES: "lpft_solved"}, rate) for rate in (1, 5)},
    "solved head, then as plain": {"": Variant({PHASES: _SOLVED})},
    "`gradual`": {"": Variant({PHASES: "gradual"})},
    "layer decay": {str(decay): _layer_decay(decay) for decay in (0.5, 0.75)},
    "norms frozen": _values("model.tuning.norm", "frozen"),
    "averaged weights (ema)": _values("model.tuning.ema", 0.9, 0.98),
    "three times the epochs": {"": Variant(longer=3)},
    "WiSE-FT": {str(share): Variant(extras=Extras(mix=share)) for share in (0.5, 0.75)},
    "taught by three, on all images": {"": Variant(extras=Extras(teachers=3))},
    "augment: medium": _values("data.augment", "medium"),
    "augment: trivial": _values("data.augment", "trivial"),
    "augment: rand": _values("data.augment", "rand"),
    "erase": _values("data.erase", 0.25),
    "mixup": _values("model.mixup", 0.2),
}
"""Each way with its variants, by what they are called: strengths mostly."""

COMBINATIONS: dict[str, Sequence[str]] = {
    "layer decay, ema": ("layer decay", "averaged weights (ema)"),
    "solved head, ema": ("solved head, then as plain", "averaged weights (ema)"),
    "ema, L2SP, StochNorm": ("averaged weights (ema)", "L2SP", "StochNorm"),
    "ema, BSS, mixup": ("averaged weights (ema)", "BSS", "mixup"),
    "DELTA, three times the epochs": ("DELTA", "three times the epochs"),
    "DELTA, mixup, three times the epochs": ("DELTA", "mixup", "three times the epochs"),
}
"""Variants of `COMBINED`: the chosen variants of several ways together."""
COMBINED = "the best combination"


def combined(parts: Sequence[Variant]) -> Variant:
    """Returns variants together: all their regularisers; of other keys and of extras the last one's; their rates and
    lengths multiplied."""
    overrides: dict[str, Any] = {}
    regularisers: list[Any] = []
    rate, longer = 1.0, 1
    for part in parts:
        regularisers += part.overrides.get(REGULARISERS, [])
        overrides |= part.overrides
        rate, longer = rate * part.rate, longer * part.longer
    if regularisers:
        overrides[REGULARISERS] = regularisers
    extras = [part.extras for part in parts if part.extras != ALONE]
    return Variant(overrides, rate, longer, extras[-1] if extras else ALONE)
