"""What W&B, TensorBoard and MLflow take in addition to the rows of metrics.csv."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnet_tl.tracking.loggers.drawings import Drawing


@dataclass(frozen=True)
class Outcome:
    """A run that has reached its planned end.

    metrics: `best/val/acc`, `final/val/acc`, ...
    digests: of `recipe` and `data`, as far as they are known.
    checkpoints: best.ckpt and last.ckpt by `best` and `last`; none unless they are to be sent.
    data: files that describe the images; none unless they are to be sent.
    """

    metrics: dict[str, float]
    digests: dict[str, str]
    checkpoints: dict[str, Path]
    data: list[Path]


class RunLogger(ABC):
    """A logger next to metrics.csv. Steps count from 0: n - 1 after the n-th optimizer step."""

    @abstractmethod
    def measure(self, values: Mapping[str, float], step: int, row: str) -> None:
        """Logs numbers that metrics.csv does not hold.

        Args:
            row: the name of a value that metrics.csv holds at the same step; where a resumed run has sent that before,
                these were sent too.
        """

    @abstractmethod
    def draw(self, drawings: Mapping[str, Drawing], step: int) -> None:
        """Draws them under their names, at the step of the validation that they belong to."""

    @abstractmethod
    def end(self, outcome: Outcome) -> None:
        """Takes the results of the whole run."""


def run_loggers(loggers: list[Any]) -> list[RunLogger]:
    """Returns those of a Trainer's loggers that take more than rows."""
    return [logger for logger in loggers if isinstance(logger, RunLogger)]
