from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.figures import Figure, over_seeds, ratio, read, with_run, write


@pytest.mark.parametrize(
    ("value", "goal", "better", "missed"),
    [
        (0.67, 0.60, "lower", True),
        (0.60, 0.60, "lower", False),
        (185, 1000, "higher", True),
        (1000, 1000, "higher", False),
        (5.0, None, "lower", False),
    ],
)
def test_a_goal_is_missed_on_the_worse_side(value: float, goal: float | None, better: str, missed: bool) -> None:
    assert Figure("speed", "row", "column", value, "×", goal, better).missed is missed  # type: ignore[arg-type]


def test_what_was_written_is_read(tmp_path: Path) -> None:
    figures = [Figure("speed", "ours", "step", 0.12345678, "×", 0.2), Figure("counts", "ours", "moved", 0, "")]
    write("some", {"machine": {"cores": 2}, "seconds": [1.5, 2.5]}, figures, tmp_path)
    results = read("some", tmp_path)
    assert results["machine"] == {"cores": 2}
    assert results["seconds"] == [1.5, 2.5]
    assert results["figures"] == [Figure("speed", "ours", "step", 0.1234568, "×", 0.2), figures[1]]
    assert (tmp_path / "some.json").read_text().splitlines()[-3].startswith('  {"table": "counts", "row": "ours"')


def test_figures_are_never_written_twice(tmp_path: Path) -> None:
    write("some", {"machine": {}, "figures": ["old"]}, [], tmp_path)
    assert read("some", tmp_path) == {"machine": {}, "figures": []}


def test_one_round_has_quartiles_too() -> None:
    figure = ratio("speed", "row", "column", {"ours": [1.0], "peer": [2.0]}, ("ours", "peer"), 0.9)
    assert (figure.low, figure.value, figure.high) == (0.5, 0.5, 0.5)


def test_a_ratio_is_taken_round_by_round() -> None:
    figure = ratio("speed", "row", "column", {"ours": [1.0, 4.0, 9.0], "peer": [2.0, 4.0, 3.0]}, ("ours", "peer"), 0.9)
    assert (figure.low, figure.value, figure.high) == (0.75, 1.0, 2.0)
    assert figure.missed


def test_seeds_have_a_deviation() -> None:
    figure = over_seeds("accuracy", "row", "column", [80.0, 82.0, 84.0], "%", goal=83)
    assert (figure.value, figure.low, figure.high, figure.deviation) == (82, 80, 84, 2)
    assert figure.missed


def test_a_run_replaces_the_one_with_its_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.figures.RESULTS", tmp_path)
    for seed, score in ((1, 5), (2, 6), (1, 7)):
        write("some", with_run("some", {"seed": seed, "score": score}, lambda run: run["seed"]), [])
    assert read("some")["runs"] == [{"seed": 2, "score": 6}, {"seed": 1, "score": 7}]
