"""A finished run, or all folds, as `resnet_tl.fit` returns them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from resnet_tl.errors import RunError

if TYPE_CHECKING:
    from resnet_tl.prediction.load import AnyPredictor


@dataclass(frozen=True, init=False)
class Run:
    """A run's folder and what is in it: `Run("runs/photos/2026-01-31_12-00-00")` opens an earlier run."""

    path: Path

    def __init__(self, path: str | Path) -> None:
        object.__setattr__(self, "path", Path(path))

    @property
    def summary(self) -> dict[str, Any]:
        """The content of summary.json: `best`, `final`, `seconds`, `finished`, `versions`, ...

        Raises RunError: it is damaged.
        """
        return _content(self.path / "summary.json")

    @property
    def best(self) -> dict[str, Any]:
        """`epoch`, `step` and the validation metrics of the best epoch: `{"epoch": 4, ..., "val/acc": 0.93}`."""
        best: dict[str, Any] = self.summary["best"]
        return best

    @property
    def final(self) -> dict[str, Any]:
        """The same of the last epoch."""
        final: dict[str, Any] = self.summary["final"]
        return final

    def predictor(self, **options: Any) -> AnyPredictor:
        """The predictor of the best checkpoint. Options: see `resnet_tl.load`."""
        from resnet_tl.prediction.load import load

        return load(self.path, **options)


class Folds(Run):
    """A folder of folds, with a run for each: `Folds("runs/photos/2026-01-31_12-00-00-folds")` opens an earlier one.

    Its metrics are means over the folds; its predictor is the ensemble of all.
    """

    @property
    def runs(self) -> list[Run]:
        """The runs of the folds."""
        return [Run(self.path / f"fold{number + 1}") for number in range(self.summary["folds"])]

    @property
    def summary(self) -> dict[str, Any]:
        """The content of folds.json: `folds`, `metrics` (mean, sd and values), `pooled` (of all images), ...

        Raises RunError: it is damaged.
        """
        return _content(self.path / "folds.json")

    @property
    def best(self) -> dict[str, Any]:
        """The mean of each validation metric of the best epochs: `{"val/acc": 0.93, ...}`."""
        return {name: each["mean"] for name, each in self.summary["metrics"].items()}

    @property
    def final(self) -> dict[str, Any]:
        """The same of the last epochs."""
        finals = [run.final for run in self.runs]
        return {name: fmean(final[name] for final in finals) for name in self.best}


def _content(file: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(file.read_text())
    except ValueError as error:
        raise RunError(f"{file}: damaged ({error})") from None
    return content
