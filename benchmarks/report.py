"""Writes docs/benchmarks.md, docs/scaling.md, their charts and the README's table out of what the benchmarks wrote.

python -m benchmarks report

The words are those of `page.md`, `scaling.md` and `readme.md`, in which the following are replaced:

    {{ table TABLE of BENCHMARK, ... }}            the table, with its benchmarks, machines and commits below
    {{ chart TABLE of BENCHMARK, ... | COLUMN }}   its chart, of all columns or of those named
    {{ figure TABLE of BENCHMARK | ROW | COLUMN }} one figure, without goal and spread
    {{ misses }}                                   how many goals there are, and how many of them are missed

Benchmarks are files of `results/`; what has none is "not measured".
"""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.cells import cell, number
from benchmarks.figures import RESULTS, Figure, read

HERE = Path(__file__).parent
ROOT = HERE.parent
README, CHARTS = ROOT / "README.md", ROOT / "docs/assets/benchmarks"
PAGES = {"page.md": ROOT / "docs/benchmarks.md", "scaling.md": ROOT / "docs/scaling.md"}
MARKED = re.compile(r"(<!-- python -m benchmarks report -->\n).*?(<!-- end -->)", re.DOTALL)
DIRECTIVE = re.compile(
    r"\{\{ (?P<kind>table|chart|figure) (?P<table>\w+) of (?P<names>[\w, ]+?)(?: \| (?P<more>.*?))? \}\}"
)
WIDTH = 120


def main(arguments: list[str]) -> None:
    argparse.ArgumentParser(prog="python -m benchmarks report").parse_args(arguments)
    from benchmarks.charts import svg

    report = render()
    for path, text in report.pages.items():
        path.write_text(text, encoding="utf-8")
    README.write_text(with_table(README.read_text(encoding="utf-8"), report.readme), encoding="utf-8")
    CHARTS.mkdir(parents=True, exist_ok=True)
    for old in set(CHARTS.glob("*.svg")) - {CHARTS / f"{name}.svg" for name in report.charts}:
        old.unlink()
    for name, figures in report.charts.items():
        (CHARTS / f"{name}.svg").write_text(svg(figures), encoding="utf-8")
    pages = ", ".join(str(path.relative_to(ROOT)) for path in report.pages)
    print(f"{pages}, {len(report.charts)} charts and the README's table; misses: {len(report.missed)}")
    for figure in report.missed:
        print(f"  {figure.row}, {figure.column}: {cell(figure)}")


@dataclass(frozen=True)
class Report:
    """pages, readme: Markdown. charts: the figures of each, by file name. missed: figures that miss their goals."""

    pages: dict[Path, str]
    readme: str
    charts: dict[str, list[Figure]]
    missed: list[Figure]


def render(folder: Path = RESULTS) -> Report:
    """Renders the templates; a figure that no page shows is an error."""
    results = {path.stem: read(path.stem, folder) for path in sorted(folder.glob("*.json"))}
    pages = {path: Template((HERE / name).read_text(encoding="utf-8"), results) for name, path in PAGES.items()}
    readme = Template((HERE / "readme.md").read_text(encoding="utf-8"), results)
    every = [figure for each in results.values() for figure in each["figures"]]
    if hidden := {figure.table for figure in every}.difference(*(page.tables for page in pages.values())):
        raise SystemExit(f"{' and '.join(PAGES)} have no line for the tables {', '.join(sorted(hidden))}")
    charts = {name: figures for page in pages.values() for name, figures in page.charts.items()}
    texts = {path: page.text for path, page in pages.items()}
    return Report(texts, readme.text, charts, [figure for figure in every if figure.missed])


def with_table(readme: str, table: str) -> str:
    return MARKED.sub(lambda match: f"{match[1]}{table}{match[2]}", readme)


class Template:
    """text: the rendered Markdown. tables: names of those it shows. charts: figures by file name."""

    def __init__(self, template: str, results: dict[str, dict[str, Any]]) -> None:
        self.results = results
        self.tables: set[str] = set()
        self.charts: dict[str, list[Figure]] = {}
        self._described: list[str] = []
        text = DIRECTIVE.sub(self._replaced, template).replace("{{ misses }}", misses(results))
        self.text = re.sub(r"\n{3,}", "\n\n", text)

    def _replaced(self, match: re.Match[str]) -> str:
        names, more = match["names"].split(", "), (match["more"] or "").split(" | ")
        present = [name for name in names if name in self.results]
        figures = [each for name in present for each in self.results[name]["figures"] if each.table == match["table"]]
        if match["kind"] == "table":
            self.tables.add(match["table"])
            return self._table(figures, present, names)
        if match["kind"] == "chart":
            return self._chart(match["table"], [each for each in figures if more == [""] or each.column in more])
        (found,) = [each for each in figures if [each.row, each.column] == more] or [None]
        if found is None:
            raise SystemExit(f"no figure in {' or '.join(names)} for {match[0]}")
        return number(found)

    def _table(self, figures: list[Figure], present: list[str], names: list[str]) -> str:
        missing = [f"`python -m benchmarks {name}`" for name in names if name not in present]
        notes = [f"Not measured yet: {', '.join(missing)}."] if missing else []
        if present and present != self._described:
            self._described = present
            notes.append("Measured by " + ", ".join(described(name, self.results[name]) for name in present) + ".")
        lines = "\n".join(textwrap.fill(note, WIDTH, break_on_hyphens=False) for note in notes)
        return "\n\n".join(filter(None, [table(figures), lines]))

    def _chart(self, name: str, figures: list[Figure]) -> str:
        if not figures:
            return ""
        self.charts[name] = figures
        return f"![{name.replace('_', ' ')}: the table above as bars](assets/benchmarks/{name}.svg)"


def misses(results: dict[str, dict[str, Any]]) -> str:
    goals = [figure for each in results.values() for figure in each["figures"] if figure.goal is not None]
    return f"{sum(figure.missed for figure in goals)} of {len(goals)} goals are missed"


def table(figures: list[Figure]) -> str:
    """Markdown of one table; rows and columns in the order of their first figures, "–" where there is none."""
    if not figures:
        return ""
    rows, columns = unique(figure.row for figure in figures), unique(figure.column for figure in figures)
    cells = {(figure.row, figure.column): cell(figure) for figure in figures}
    lines = [["", *columns], ["---"] * (len(columns) + 1)]
    lines += [[row, *(cells.get((row, column), "–") for column in columns)] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def described(name: str, results: dict[str, Any]) -> str:
    """The name of a benchmark, its machines and the commits of its code."""
    runs = [results] if "machine" in results else [run for run in results["runs"] if "machine" in run]
    machines = [run["machine"] for run in runs]
    commits = unique(machine["commit"] for machine in machines)
    words = unique(_machine(machine) for machine in machines)
    plural = "commits" if len(commits) > 1 else "commit"
    return f"`{name}` ({' and '.join(words)}; {plural} {', '.join(commits)})"


def _machine(machine: dict[str, Any]) -> str:
    threads = "1 thread" if machine["threads"] == 1 else f"{machine['threads']} threads"
    cores = "1 core" if machine["cores"] == 1 else f"{machine['cores']} cores"
    gpu = "" if machine["gpu"] == "none" else f"{machine['gpu']}, "
    return f"{gpu}{machine['processor']}, {cores}, {threads}, torch {machine['torch']}"


def unique(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))
