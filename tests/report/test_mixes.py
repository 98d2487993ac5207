"""The curve of a run that was mixed with the end of its head's phase."""

from __future__ import annotations

import shutil
from pathlib import Path

from resnet_tl.report.page import write_report
from resnet_tl.report.records import read_run
from resnet_tl.run.averaged_scores import Score
from resnet_tl.run.mixes import Mix, write_curve
from tests.report.conftest import Page


def test_a_mixed_run_has_its_curve(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    write_report(read_run(tmp_path / "run"), tmp_path / "without.html")
    assert "WiSE-FT" not in Page(tmp_path / "without.html").text
    folder = tmp_path / "run" / "checkpoints"
    curve = [Mix(0.0, Score(0.5, (0.4, 0.6))), Mix(0.5, Score(0.875, (0.7, 0.9))), Mix(1.0, Score(0.75, None))]
    write_curve(folder / "wise_ft.json", "acc", [folder / "best.ckpt", folder / "head.ckpt"], curve, 0.5)
    write_report(read_run(tmp_path / "run"), tmp_path / "with.html")
    page = Page(tmp_path / "with.html")
    text = page.text.replace("\u00a0", " ")
    assert "Share 0.5 has the best validation score, 87.5 %; the ends have 50.0 % and 75.0 %" in text
    (chart,) = (each for each in page.charts.values() if "share of the run's end" in str(each))
    band, line, rule = (layer["data"]["values"] for layer in chart["layer"])
    assert [row["share"] for row in band] == [0, 0.5]
    assert [(row["share"], row["value"]) for row in line] == [(0, 0.5), (0.5, 0.875), (1, 0.75)]
    assert rule == [{"share": 0.5}]
