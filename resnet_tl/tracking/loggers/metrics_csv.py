"""metrics.csv: every logged number, one row per step."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only

from resnet_tl.files import as_run_error, atomic_write

FIRST_COLUMNS = ("epoch", "step", "phase", "train/loss", "val/loss")
WHOLE_NUMBERS = {"epoch", "step", "phase"}


class MetricsCsv(Logger):
    """A Lightning logger that appends to one file and never overwrites it.

    Values logged at the same step share a row. `step` counts from 0: row n - 1 belongs to the n-th optimizer step and
    to a validation right after it. A row is in the file when `log_metrics` returns; a new name becomes the last column.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self._columns: list[str] | None = None
        self._last_row: dict[str, str] = {}
        self._last_offset = 0

    @property
    def name(self) -> str:
        return "csv"

    @property
    def version(self) -> str:
        return ""

    @rank_zero_only
    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Does nothing: they are in recipe.yaml."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        columns = self._open()
        row = {name: _text(name, value) for name, value in {**metrics, "step": step or 0}.items()}
        if new := [name for name in row if name not in columns]:
            columns = self._rewrite([*columns, *new], self._rows())
        if row["step"] == self._last_row.get("step"):
            row = {**self._last_row, **row}
        else:
            self._last_offset = self.path.stat().st_size
        self._last_row = row
        with as_run_error(self.path), open(self.path, "r+b") as file:
            file.seek(self._last_offset)
            file.write(_line(columns, row))
            file.truncate()

    @rank_zero_only
    def truncate_after(self, step: int) -> dict[int, set[str]]:
        """Drops the rows that a run resumed after `step` optimizer steps writes again: `step` and later.

        Returns step -> names of the dropped values.
        """
        if not self.path.exists():
            return {}
        columns, rows = self._open(), list(self._rows())
        self._rewrite(columns, (row for row in rows if int(row["step"]) < step))
        dropped = (row for row in rows if int(row["step"]) >= step)
        return {int(row["step"]): {name for name, value in row.items() if value} for row in dropped}

    def rows(self, start: int) -> Iterator[tuple[int, dict[str, float]]]:
        """Yields the rows from step `start` on: step, values by name."""
        for row in self._rows():
            if (step := int(row.pop("step"))) >= start:
                yield step, {name: _number(name, text) for name, text in row.items() if text}

    def _open(self) -> list[str]:
        """Returns the columns, read from the file if it exists already."""
        if self._columns is None:
            exists = self.path.exists()
            columns = self._header() if exists else list(FIRST_COLUMNS)
            self._columns = self._rewrite(columns, self._rows() if exists else iter(()))
        return self._columns

    def _header(self) -> list[str]:
        with open(self.path, newline="") as file:
            return next(csv.reader(file))

    def _rows(self) -> Iterator[dict[str, str]]:
        """Complete rows; a last line that a kill cut off is skipped."""
        with open(self.path, newline="") as file:
            yield from csv.DictReader(line for line in file if line.endswith("\n"))

    def _rewrite(self, columns: list[str], rows: Iterator[dict[str, str]]) -> list[str]:
        self._last_row = {}
        with atomic_write(self.path) as file:
            file.write(_line(columns, dict(zip(columns, columns, strict=True))))
            for row in rows:
                self._last_row, self._last_offset = row, file.tell()
                file.write(_line(columns, row))
        self._columns = columns
        return columns


def _text(name: str, value: float) -> str:
    """Floats in full precision, so that logs can be compared bit for bit."""
    return str(int(value)) if name in WHOLE_NUMBERS else repr(float(value))


def _number(name: str, text: str) -> float:
    return int(text) if name in WHOLE_NUMBERS else float(text)


def _line(columns: list[str], row: dict[str, str]) -> bytes:
    text = io.StringIO()
    csv.DictWriter(text, columns, restval="", lineterminator="\n").writerow(row)
    return text.getvalue().encode()
