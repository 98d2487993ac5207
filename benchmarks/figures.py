"""Figures: what the results of a benchmark come down to, one number a cell of a table of docs/benchmarks.md.

A benchmark has a function `figures(results) -> list[Figure]` from what it measured, and ends, with --write, by

    write("NAME", results, figures(results))

so that `results/NAME.json` holds both: what was measured, with its `machine`, and its figures.
`python -m benchmarks figures` makes them again from what was measured; `python -m benchmarks report` draws the page.
"""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.alternate import Seconds, ratios

RESULTS = Path(__file__).parent / "results"
Better = Literal["lower", "higher"]


@dataclass(frozen=True)
class Figure:
    """One cell of a table, and one bar of its chart.

    Args:
        table: The table's name; `page.md` has a line that places it. Results of several benchmarks may share one.
        row, column: Labels, as Markdown; rows and columns are in the order in which they are first named.
        value: In `unit`.
        unit: "×" (ours divided by the other's), "%" (0...100), "s", "images/s", "MiB", "mAP" (0...1), "" (a count), ...
        goal: What `value` was to reach; None if nothing was set before measuring.
        better: Which values are better, and so on which side of `goal` it is missed.
        low, high: Spread: quartiles of the rounds, or the least and most of seeds.
        deviation: Standard deviation over seeds; the page shows it in the place of low and high.
    """

    table: str
    row: str
    column: str
    value: float
    unit: str
    goal: float | None = None
    better: Better = "lower"
    low: float | None = None
    high: float | None = None
    deviation: float | None = None

    @property
    def missed(self) -> bool:
        if self.goal is None:
            return False
        return self.value > self.goal if self.better == "lower" else self.value < self.goal


def main(arguments: list[str]) -> None:
    """Makes the figures of every file of results again."""
    argparse.ArgumentParser(prog="python -m benchmarks figures").parse_args(arguments)
    for path in sorted(RESULTS.glob("*.json")):
        results = read(path.stem)
        figures = importlib.import_module(f"benchmarks.{path.stem}").figures(results)
        write(path.stem, results, figures)
        print(f"{path.stem}: {len(figures)}")


def ratio(
    table: str,
    row: str,
    column: str,
    seconds: Seconds,
    names: tuple[str, str],
    goal: float | None = None,
    better: Better = "lower",
) -> Figure:
    """The median of the time of the first of `names` divided by that of the second, round by round, with quartiles."""
    low, median, high = ratios(seconds, *names)
    return Figure(table, row, column, median, "×", goal, better, low, high)


def over_seeds(table: str, row: str, column: str, values: list[float], unit: str, goal: float | None = None) -> Figure:
    """The mean of values of which higher ones are better, and of two or more their standard deviation."""
    spread = (min(values), max(values), statistics.stdev(values)) if len(values) > 1 else ()
    return Figure(table, row, column, statistics.mean(values), unit, goal, "higher", *spread)


def write(name: str, results: dict[str, Any], figures: Iterable[Figure], folder: Path | None = None) -> Path:
    """Writes `results/NAME.json`: what was measured, a line a key, and its figures, a line each.

    Args:
        results: Has `machine`, or `runs` that each have theirs (see `benchmarks.machine`), but for runs made elsewhere.
    """
    measured = {key: value for key, value in results.items() if key != "figures"}
    lines = [
        f"{json.dumps(key)}: {_lines(value) if key == 'runs' else json.dumps(value, ensure_ascii=False)}"
        for key, value in measured.items()
    ]
    lines.append(f'"figures": {_lines([_record(figure) for figure in figures])}')
    path = (folder or RESULTS) / f"{name}.json"
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    return path


def with_run(name: str, run: dict[str, Any], key: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """Returns what `results/NAME.json` has measured, with `run` in the place of those of its runs with the same key."""
    runs = read(name)["runs"] if (RESULTS / f"{name}.json").exists() else []
    return {"runs": [*(each for each in runs if key(each) != key(run)), run]}


def read(name: str, folder: Path | None = None) -> dict[str, Any]:
    """Returns what `write` wrote, its figures as `Figure`s."""
    results: dict[str, Any] = json.loads(((folder or RESULTS) / f"{name}.json").read_text())
    return {**results, "figures": [Figure(**record) for record in results.get("figures", [])]}


def _record(figure: Figure) -> dict[str, Any]:
    """Its values that are set, floats to seven significant digits."""
    return {key: _rounded(value) for key, value in asdict(figure).items() if value is not None}


def _rounded(value: Any) -> Any:
    return float(f"{value:.7g}") if isinstance(value, float) else value


def _lines(values: list[Any]) -> str:
    return "[\n  " + ",\n  ".join(json.dumps(value, ensure_ascii=False) for value in values) + "\n]" if values else "[]"
