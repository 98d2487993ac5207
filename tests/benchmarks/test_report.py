"""The committed page, charts and README table are those that the committed results make."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from benchmarks.charts import digest, svg
from benchmarks.figures import RESULTS, Figure, write
from benchmarks.report import CHARTS, PAGES, README, Template, render, with_table

REPAIR = "run `python -m benchmarks report` and commit what it writes"


def test_the_pages_are_those_of_the_results() -> None:
    for path, text in render().pages.items():
        assert path.read_text(encoding="utf-8") == text, REPAIR


def test_the_readme_has_the_same_figures() -> None:
    readme = README.read_text(encoding="utf-8")
    assert with_table(readme, render().readme) == readme, REPAIR


def test_the_charts_are_those_of_the_results() -> None:
    drawn = {path.stem: path.read_text(encoding="utf-8") for path in CHARTS.glob("*.svg")}
    charts = render().charts
    assert set(drawn) == set(charts), REPAIR
    assert [name for name in charts if f"<!-- figures {digest(charts[name])} -->" not in drawn[name]] == [], REPAIR


def test_every_goal_that_is_missed_is_said_to_be() -> None:
    report = render()
    assert sum(text.count("missed)") for text in report.pages.values()) == len(report.missed) > 0


def test_a_changed_result_changes_the_page(tmp_path: Path) -> None:
    for path in RESULTS.glob("*.json"):
        shutil.copy(path, tmp_path)
    results = json.loads((tmp_path / "overfit.json").read_text())
    results["figures"][0]["value"] = 0.5
    (tmp_path / "overfit.json").write_text(json.dumps(results))
    assert "**0.500** (goal 0.900, missed)" in render(tmp_path).pages[PAGES["page.md"]]


def test_a_table_without_a_place_on_the_page_is_an_error(tmp_path: Path) -> None:
    for path in RESULTS.glob("*.json"):
        shutil.copy(path, tmp_path)
    write("some", {"machine": {}}, [Figure("nowhere", "row", "column", 1, "")], tmp_path)
    with pytest.raises(SystemExit, match="no line for the tables nowhere"):
        render(tmp_path)


def test_what_was_not_measured_is_said() -> None:
    template = Template("{{ table speed of gpu }}\n\n{{ chart speed of gpu }}\n", {})
    assert template.text == "Not measured yet: `python -m benchmarks gpu`.\n\n"
    assert template.charts == {}


def test_a_chart_is_drawn_with_misses_in_words() -> None:
    figures = [
        Figure("speed", "`ours`", "step", 0.7, "×", 0.6, low=0.65, high=0.75),
        Figure("speed", "`ours`", "other", 0.5, "×", 0.6),
        Figure("speed", "theirs", "step", 0.5, "×"),
    ]
    text = svg(figures)
    assert ">0.70 ×, goal missed<" in text
    assert text.count("goal missed<") == 1
    assert ">ours<" in text
    assert text.endswith(f"<!-- figures {digest(figures)} -->\n")
    assert digest(figures) != digest(figures[:2])
