"""What W&B, TensorBoard and MLflow take in addition to the rows of metrics.csv."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from lightning.pytorch.utilities import rank_zero_only

from resnet_tl.tracking.loggers.drawings import Drawing
from resnet_tl.tracking.loggers.metrics_csv import MetricsCsv


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
    """A logger next to metrics.csv, a base before Lightning's. Steps count from 0: n - 1 after the n-th optimizer step.

    Attributes:
        already_sent: step -> names of metrics.csv that were sent after the checkpoint that the run resumed from. They
            are not sent again.
    """

    already_sent: Mapping[int, Collection[str]] = MappingProxyType({})

    @abstractmethod
    def send(self, metrics: Mapping[str, float], step: int | None) -> None:
        """Logs numbers."""

    @abstractmethod
    def show(self, name: str, drawing: Drawing, step: int) -> None:
        """Draws one."""

    @abstractmethod
    def end(self, outcome: Outcome) -> None:
        """Takes the results of the whole run."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Logs what was not sent yet of a row of metrics.csv, or numbers that it does not hold."""
        if new := self._not_sent(metrics, step):
            self.send(new, step)

    def resume(self, csv: MetricsCsv, dropped: Mapping[int, Collection[str]]) -> None:
        """Prepares for a run that resumes.

        Args:
            csv: with the rows before the checkpoint.
            dropped: step -> names of the later rows, which the run logs again.
        """
        self.already_sent = dropped

    def draw(self, drawings: Mapping[str, Drawing], step: int) -> None:
        """Draws them under their names, at the step of the validation that they belong to, unless that was sent."""
        if not self.was_sent("val/loss", step):
            for name, drawing in drawings.items():
                self.show(name, drawing, step)

    def measure(self, values: Mapping[str, float], step: int, row: str) -> None:
        """Logs numbers that metrics.csv does not hold, unless the value `row` of the same step was sent already."""
        if not self.was_sent(row, step):
            self.log_metrics(values, step)

    def was_sent(self, name: str, step: int | None) -> bool:
        return step is not None and name in self.already_sent.get(step, ())

    def _not_sent(self, metrics: Mapping[str, Any], step: int | None) -> dict[str, Any]:
        """Returns the values that were not sent yet, with their epoch."""
        new = {name: value for name, value in metrics.items() if not self.was_sent(name, step)}
        return {"epoch": metrics["epoch"], **new} if new and "epoch" in metrics else new


def run_loggers(loggers: list[Any]) -> list[RunLogger]:
    """Returns those of a Trainer's loggers that take more than rows."""
    return [logger for logger in loggers if isinstance(logger, RunLogger)]
