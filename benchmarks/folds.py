"""Thirds of all images of a set: two are trained on, and the third, which no value was chosen on, is evaluated."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.figures import Figure, over_seeds

FOLDS = 3
SEED = 1
"""Of the given splits; fixed before anything was measured, as those of the folds, which follow it."""


def splits(fold: int | None) -> dict[str, int]:
    """Options of the data module: the given splits, or a fold of all images."""
    return {} if fold is None else {"folds": FOLDS, "fold": fold, "seed": SEED}


def seed_of(seed: int, fold: int | None) -> int:
    """Of the random weights and of what training draws: `seed` on the given splits, a fold has its own."""
    return seed if fold is None else SEED + 1 + fold


def by_fold(table: str, row: str, column: str, values: Mapping[int, float], unit: str) -> list[Figure]:
    """A figure of each fold, of which higher ones are better, and their mean once all folds are measured: means over
    different folds do not compare."""
    each = [Figure(table, row, f"{column}, fold {fold}", values[fold], unit, None, "higher") for fold in sorted(values)]
    if len(values) < FOLDS:
        return each
    return [*each, over_seeds(table, row, f"{column}, mean", list(values.values()), unit)]
