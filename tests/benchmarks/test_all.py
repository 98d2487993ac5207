from __future__ import annotations

import importlib
import subprocess
from typing import Any

import pytest

from benchmarks import all as benchmarks_all
from benchmarks.all import PLAN, Planned, main, plan, run


@pytest.mark.parametrize("planned", PLAN, ids=lambda planned: planned.name)
def test_each_is_a_benchmark_that_takes_its_words_and_has_figures(planned: Planned) -> None:
    module = importlib.import_module(f"benchmarks.{planned.name}")
    assert module._parser().parse_args([*planned.words, "--write"]).write
    assert callable(module.figures)


def test_all_of_them_end_in_an_hour() -> None:
    assert sum(planned.seconds for planned in PLAN) <= 60 * 60


def test_the_plan_names_settings_seconds_and_what_is_lacking() -> None:
    some = Planned("some", 10, 2.5, 4, ("--part", "a"))
    text = plan([some, Planned("other", 100, packages=("no_such_package",))])
    assert "some                25 s   --part a --rounds 4" in text
    assert "other            skipped, needs no_such_package" in text
    assert "in all              25 s, 0 minutes" in text


def test_a_failure_does_not_stop_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    started: list[list[str]] = []

    def fake(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        started.append(command[3:])
        return subprocess.CompletedProcess(command, returncode=1 if command[3] == "startup" else 0)

    monkeypatch.setattr(subprocess, "run", fake)
    with pytest.raises(SystemExit, match=r"failed: startup$"):
        main(["--only", "startup", "data_path"])
    assert started == [["data_path", "--rounds", "10", "--write"], ["startup", "--rounds", "3", "--write"], ["report"]]
    assert "startup: 0 s, FAILED (1)" in capsys.readouterr().out


def test_what_lacks_a_package_is_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmarks_all.subprocess, "run", lambda *_, **__: pytest.fail("it was run"))
    assert run([Planned("some", 1, packages=("no_such_package",))]) == []
