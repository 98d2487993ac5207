"""report.html as a whole: one file, nothing missing, the numbers of validate."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

import resnet_tl
from resnet_tl.report.page import write_report
from resnet_tl.report.records import read_run
from resnet_tl.run.finished import Run
from tests.cli.conftest import RECIPE, several_labels
from tests.report.conftest import Page


@pytest.fixture(scope="module")
def path(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("page") / "report.html"
    write_report(read_run(run), out)
    return out


def test_every_picture_and_chart_that_is_placed_is_there(path: Path) -> None:
    page = Page(path)
    assert set(page.attributes("data-picture")) == set(page.pictures)
    assert set(page.attributes("data-chart")) == set(page.charts)
    assert sum(name.startswith("i") for name in page.pictures) == 8, "all images of this set"
    assert sum(name.startswith("d") for name in page.pictures) == 6, "maps of the least sure hits"
    assert all(picture.startswith("data:image/webp;base64,") for picture in page.pictures.values())


def test_nothing_comes_from_the_network(path: Path) -> None:
    page = Page(path)
    for name in ("src", "href"):
        assert all(value.startswith(("#", "data:")) for value in page.attributes(name))
    style = re.search(r"<style>.*?</style>", path.read_text(encoding="utf-8"), re.DOTALL)
    assert style is not None
    assert "url(" not in style[0]
    assert "@import" not in style[0]
    assert path.stat().st_size < 1.5e6


def test_its_numbers_are_those_of_validate(path: Path, run: Path) -> None:
    text, result = Page(path).text.replace("\u00a0", " "), resnet_tl.evaluate(run)
    low, high = (100 * value for value in result["interval"])
    assert f"{100 * result['metrics']['val/acc']:.1f} %" in text
    assert f"95 % interval {low:.1f} to {high:.1f} %" in text
    assert f"Expected calibration error {result['metrics']['val/ece']:.3f}." in text
    assert "sizes and channels of" in text
    sections = (
        "Training",
        "Confusions",
        "Classes",
        "Confidence",
        "Images",
        "Data",
        "Speed and memory",
        "Repeat this run",
    )
    for section in sections:
        assert section in text
    assert f"resnet-tl fit -c {run / 'recipe.yaml'}" in text


def test_a_name_that_looks_like_html_is_text(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "<script>alert(1)</script>"
    shutil.copytree(run, folder / "run")
    write_report(read_run(folder / "run"), tmp_path / "report.html")
    assert "<script>alert" not in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_browser_draws_it(path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no chromium")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=10000", "--dump-dom"]
    drawn = subprocess.run([browser, *options, path.as_uri()], capture_output=True, text=True, check=True).stdout
    (path.parent / "drawn.html").write_text(drawn, encoding="utf-8")
    assert drawn.count('<svg xmlns="http://www.w3.org/2000/svg"') == len(Page(path).charts)
    assert len(re.findall(r'<img data-picture="\w+" alt="[^"]*" src="data:', drawn)) == 16


def test_several_labels_have_a_page(images: Path, tmp_path: Path) -> None:
    recipe = several_labels(images, tmp_path)
    run = resnet_tl.fit(recipe, run=tmp_path / "run", **{"trainer.max_epochs": 1})
    write_report(read_run(run.path), tmp_path / "report.html")
    page = Page(tmp_path / "report.html")
    assert set(page.attributes("data-picture")) == set(page.pictures)
    assert "Confusions" not in page.text
    assert f"{100 * run.best['val/map']:.1f}\u00a0%" in page.text
    assert "true: " in page.text


def test_the_time_is_shared_out(path: Path, run: Path) -> None:
    summary, page = Run(run).summary, Page(path)
    (values,) = (chart["data"]["values"] for chart in page.charts.values() if "what" in str(chart.get("encoding")))
    shares = {each["what"]: each["share"] for each in values}
    assert shares == pytest.approx({**summary["shares"], "other": 1 - sum(summary["shares"].values())})
    assert f"{summary['memory_gb']['process']:.2f} GB" in page.text


def test_a_run_of_an_earlier_version_has_no_section_about_speed(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    summary = {key: value for key, value in Run(run).summary.items() if key not in ("shares", "memory_gb")}
    (tmp_path / "run" / "summary.json").write_text(json.dumps(summary))
    write_report(read_run(tmp_path / "run"), tmp_path / "report.html")
    assert "Speed and memory" not in Page(tmp_path / "report.html").text


def test_a_run_that_max_steps_ended_within_an_epoch_counts_its_part(images: Path, tmp_path: Path) -> None:
    values = {"data.root": images, "trainer.max_steps": 4}
    run = resnet_tl.fit(yaml.safe_load(RECIPE), run=tmp_path / "run", **values)
    write_report(read_run(run.path), tmp_path / "report.html")
    assert "1.3 epochs, 4 steps" in Page(tmp_path / "report.html").text


def test_an_unfinished_run_counts_the_epochs_that_ended(run: Path, tmp_path: Path) -> None:
    """After its second epoch: Lightning's counter still has the place of that epoch, 1."""
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "summary.json").write_text(json.dumps({**Run(run).summary, "epoch": 1, "finished": False}))
    write_report(read_run(tmp_path / "run"), tmp_path / "report.html")
    assert "2 epochs, 6 steps" in Page(tmp_path / "report.html").text
