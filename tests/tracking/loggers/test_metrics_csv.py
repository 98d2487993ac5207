from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from resnet_tl.tracking.loggers.metrics_csv import MetricsCsv


def rows(path: Path) -> list[dict[str, str]]:
    """Rows without their empty cells."""
    with open(path, newline="") as file:
        return [{key: value for key, value in row.items() if value} for row in csv.DictReader(file)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "metrics.csv"


def test_a_row_is_there_as_soon_as_it_is_logged(path: Path) -> None:
    metrics = MetricsCsv(path)
    for step in range(3):
        metrics.log_metrics({"train/loss": 1 / (step + 1), "epoch": 0}, step)
        assert [row["step"] for row in rows(path)] == [str(known) for known in range(step + 1)]
    assert float(rows(path)[2]["train/loss"]) == 1 / 3, "numbers are kept in full"


def test_what_is_logged_at_one_step_shares_its_row(path: Path) -> None:
    metrics = MetricsCsv(path)
    metrics.log_metrics({"train/loss": 0.5, "epoch": 0}, 7)
    metrics.log_metrics({"val/loss": 0.25, "val/acc": 1.0, "epoch": 0}, 7)
    metrics.log_metrics({"train/loss": 0.125, "epoch": 1, "phase": 1.0}, 8)
    assert rows(path) == [
        {"epoch": "0", "step": "7", "train/loss": "0.5", "val/loss": "0.25", "val/acc": "1.0"},
        {"epoch": "1", "step": "8", "train/loss": "0.125", "phase": "1"},
    ]


def test_a_new_name_becomes_the_last_column_and_old_rows_stay(path: Path) -> None:
    metrics = MetricsCsv(path)
    metrics.log_metrics({"train/loss": 1.0}, 0)
    metrics.log_metrics({"train/loss": 2.0, "lr/head": 0.1}, 1)
    metrics.log_metrics({"train/loss": 3.0, "val/acc": 0.5}, 1)
    assert path.read_text().splitlines()[0] == "epoch,step,phase,train/loss,val/loss,lr/head,val/acc"
    assert rows(path) == [
        {"step": "0", "train/loss": "1.0"},
        {"step": "1", "train/loss": "3.0", "lr/head": "0.1", "val/acc": "0.5"},
    ]


def test_another_process_appends_to_the_file(path: Path) -> None:
    MetricsCsv(path).log_metrics({"train/loss": 1.0, "lr/head": 0.1}, 0)
    before = path.read_text()
    MetricsCsv(path).log_metrics({"train/loss": 2.0}, 1)
    assert path.read_text().startswith(before)
    assert rows(path)[1] == {"step": "1", "train/loss": "2.0"}


def test_a_line_that_a_kill_cut_off_is_dropped(path: Path) -> None:
    MetricsCsv(path).log_metrics({"train/loss": 1.0}, 0)
    before = path.read_text()
    path.write_text(before + "0,1,,2.")
    MetricsCsv(path).log_metrics({"train/loss": 3.0}, 2)
    assert path.read_text() == before + ",2,,3.0,\n"


def test_truncated_rows_are_written_again_in_place(path: Path) -> None:
    metrics = MetricsCsv(path)
    for step in range(6):
        metrics.log_metrics({"train/loss": float(step)}, step)
    metrics.log_metrics({"val/acc": 0.5}, 5)
    whole = path.read_text()
    resumed = MetricsCsv(path)
    dropped = resumed.truncate_after(4)
    assert dropped == {4: {"step", "train/loss"}, 5: {"step", "train/loss", "val/acc"}}
    assert [row["step"] for row in rows(path)] == ["0", "1", "2", "3"]
    for step in (4, 5):
        resumed.log_metrics({"train/loss": float(step)}, step)
    resumed.log_metrics({"val/acc": 0.5}, 5)
    assert path.read_text() == whole


def test_truncating_before_anything_was_logged_is_no_error(path: Path) -> None:
    MetricsCsv(path).truncate_after(4)
    assert not path.exists()


def test_a_real_run_logs_every_step_and_validation(train: Any, tiny: Any, path: Path) -> None:
    train(tiny([0.5, 0.25, 1.0]))
    written = rows(path.parent / "run" / "metrics.csv")
    assert [row["step"] for row in written] == [str(step) for step in range(12)]
    accuracies = {row["step"]: row["val/acc"] for row in written if "val/acc" in row}
    assert accuracies == {"3": "0.5", "7": "0.25", "11": "1.0"}
    assert all({"train/loss", "lr/head", "epoch"} <= row.keys() for row in written)
