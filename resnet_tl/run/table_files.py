"""Tables of an evaluation as a folder of CSVs."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from resnet_tl.csv_text import text_cell
from resnet_tl.prediction.writers.output import new_file, new_folder


def write_tables(tables: Mapping[str, Sequence[Mapping[str, Any]]], folder: Path) -> None:
    """Writes `<name>.csv` of each table; numbers in full, an empty cell for what is unknown.

    Raises:
        RunError: the folder exists, or cannot be written.
    """
    with new_folder(folder) as part:
        for name, rows in tables.items():
            with new_file(part / f"{name}.csv") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow([_cell(column) for column in rows[0]])
                writer.writerows([_cell(value) for value in row.values()] for row in rows)


def _cell(value: Any) -> Any:
    """Names of classes are not formulas, whatever they begin with."""
    return text_cell(value, safe=True) if isinstance(value, str) else value
