"""A finished run, as `resnet_tl.fit` returns it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
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
        file = self.path / "summary.json"
        try:
            content: dict[str, Any] = json.loads(file.read_text())
        except ValueError as error:
            raise RunError(f"{file}: damaged ({error})") from None
        return content

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
