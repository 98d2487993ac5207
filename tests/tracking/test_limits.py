from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest


def summary(tmp_path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((tmp_path / "run" / "summary.json").read_text())
    return content


def test_max_steps_within_an_epoch_ends_with_a_validation(
    train: Any, tiny: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tiny([0.5, 0.75]), max_steps=6)
    content = summary(tmp_path)
    assert content["final"].items() >= {"epoch": 1, "step": 6, "val/acc": 0.75}.items()
    assert content["best"] == content["final"]
    lines = capsys.readouterr().out.splitlines()
    assert "val/acc 0.75" in lines[-1]
    assert "left" not in lines[-1]
    assert lines[-1].startswith("epoch 2/2 ")  # of 3 by max_epochs
    rows = list(csv.DictReader((tmp_path / "run" / "metrics.csv").read_text().splitlines()))
    assert [(row["step"], row["val/acc"]) for row in rows if row["val/acc"]] == [("3", "0.5"), ("5", "0.75")]


@pytest.mark.parametrize(
    "ends", [{"max_steps": 2}, {"max_steps": 1, "accumulate_grad_batches": 2}, {"max_time": {"microseconds": 1}}]
)
@pytest.mark.filterwarnings("error:.*ModelCheckpoint")
def test_less_than_an_epoch_has_a_best_checkpoint(ends: dict[str, Any], train: Any, tiny: Any, tmp_path: Path) -> None:
    trainer = train(tiny([0.5]), **ends)
    content = summary(tmp_path)
    assert content["best"].items() >= {"epoch": 0, "step": trainer.global_step, "val/acc": 0.5}.items()
    assert (tmp_path / "run/checkpoints/best.ckpt").is_file()


def test_the_last_step_is_validated_whatever_epochs_are(train: Any, tiny: Any, tmp_path: Path) -> None:
    train(tiny([0.5, 0.75, 0.875]), max_steps=9, check_val_every_n_epoch=2)
    assert summary(tmp_path)["final"].items() >= {"step": 9, "val/acc": 0.875}.items()
