"""What was measured makes the figures of its file again."""

from __future__ import annotations

import importlib
import json

import pytest

from benchmarks.figures import RESULTS, read, write

NAMES = sorted(path.stem for path in RESULTS.glob("*.json"))


@pytest.mark.parametrize("name", NAMES)
def test_the_figures_are_those_of_what_was_measured(name: str, tmp_path) -> None:  # type: ignore[no-untyped-def]
    stored = read(name)
    write(name, stored, importlib.import_module(f"benchmarks.{name}").figures(stored), tmp_path)
    assert read(name, tmp_path) == stored


@pytest.mark.parametrize("name", NAMES)
def test_it_has_its_machines(name: str) -> None:
    results = json.loads((RESULTS / f"{name}.json").read_text())
    machines = [results["machine"]] if "machine" in results else [run.get("machine") for run in results["runs"]]
    assert any(machines)
    assert all({"processor", "torch", "commit"} <= set(machine) for machine in machines if machine is not None)


def test_no_cell_has_two_figures() -> None:
    cells = [(figure.table, figure.row, figure.column) for name in NAMES for figure in read(name)["figures"]]
    assert len(cells) == len(set(cells))
