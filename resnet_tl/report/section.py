"""A part of a page."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from resnet_tl.metrics.names import metric_name
from resnet_tl.metrics.per_class import Row
from resnet_tl.metrics.score_tables import ScoreTables


@dataclass(frozen=True)
class Section:
    """A heading and what is below it.

    name: of the anchor.
    template: a file of `templates/`, which sees `content` by its keys.
    lead: a sentence below the heading.
    """

    name: str
    title: str
    template: str
    content: dict[str, Any] = field(default_factory=dict)
    lead: str = ""


@dataclass(frozen=True)
class Picture:
    """An image in a gallery: the id of its picture, its file, and lines below it; wrong ones are marked.

    map: the id of a picture of where the network looked, which is shown on its right.
    """

    id: str
    title: str
    lines: list[str]
    wrong: bool = False
    map: str | None = None


@dataclass(frozen=True)
class Gallery:
    title: str
    lead: str
    pictures: list[Picture]


def drawn(title: str, chart: str, note: str = "") -> dict[str, str]:
    """A chart, by its id, for `charts.html`."""
    return {"title": title, "id": chart, "note": note}


def class_table(rows: list[Row], lead: str = "") -> Section:
    """A table by class that a click sorts, without the intervals, for which a page is too narrow."""
    lead = f"{lead} A click on a column sorts by it.".lstrip()
    ends = {f"{name}_{end}" for name in rows[0] for end in ("low", "high")}
    narrow = [{name: value for name, value in row.items() if name not in ends} for row in rows]
    return Section("classes", "Classes", "table.html", {"rows": narrow, "shares": SHARES}, lead)


def number_table(rows: list[Row]) -> Section:
    """A table by predicted number, in the unit of each."""
    table = [{metric_name(key): value for key, value in row.items()} for row in rows]
    return Section("numbers", "Numbers", "rows.html", {"rows": table}, "Each in its own unit.")


def score_table(tables: ScoreTables) -> Section:
    """All scores with their intervals."""
    rows = [
        {
            "score": row["name"],
            "value": row["value"],
            "95 % interval": "–" if row["low"] is None else f"{row['low']:.3f}\u00a0to\u00a0{row['high']:.3f}",
        }
        for row in tables.tables["summary"]
    ]
    lead = " ".join(f"{note[:1].upper()}{note[1:]}." for note in tables.notes)
    return Section("scores", "Scores", "rows.html", {"rows": rows}, lead)


SHARES = (
    "precision", "recall", "f1", "ap", "auroc", "threshold", "calibrated_threshold",
    "map", "map50", "map_small", "map_medium", "map_large",
    "mask_map", "mask_map50", "mask_map_small", "mask_map_medium", "mask_map_large", "iou", "dice",
    "boundary_f1",
)  # fmt: skip
"""Columns of tables by class that are shares, 0...1."""
