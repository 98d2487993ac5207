"""`resnet-tl predict`."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from resnet_tl.checkpoint import bundle
from resnet_tl.models.heads.classification import LinearHead
from resnet_tl.models.network import Backbone, build


@pytest.fixture
def checkpoint(here: Path) -> Path:
    """An untrained network, saved as a task saves it."""
    backbone = {"name": "resnet_tiny"}
    head = {"class_path": "resnet_tl.models.heads.classification.LinearHead", "init_args": {}}
    network = build(Backbone(**backbone), None, LinearHead, ["blue", "green", "red"])
    ours = bundle(
        {"class_path": "", "init_args": {"backbone": backbone, "head": head}}, network_classes(), network.preprocessing
    )
    state = {f"network.{key}": value for key, value in network.state_dict().items()}
    torch.save({"state_dict": state, "epoch": 0, "global_step": 0, "resnet_tl": ours}, here / "some.ckpt")
    return here / "some.ckpt"


def network_classes() -> list[str]:
    return ["blue", "green", "red"]


def test_predictions_go_to_csv_json_and_the_terminal(
    resnet_tl: Callable[..., Any], here: Path, images: Path, checkpoint: Path
) -> None:
    line = "predict some.ckpt {} --top 2 --batch-size 3"
    for out in ("a.csv", "a.json"):
        assert resnet_tl(f"{line} --out {out}", images / "val" / "red").code == 0
    rows = list(csv.DictReader((here / "a.csv").read_text().splitlines()))
    entries = json.loads((here / "a.json").read_text())
    assert [Path(row["path"]).name for row in rows] == ["0.png", "1.png", "2.png", "3.png"]
    assert [[row["label"], row["label_2"]] for row in rows] == [entry["labels"] for entry in entries]
    printed = resnet_tl(line, images / "val" / "red").out.splitlines()
    assert len(printed) == 4
    assert printed[0].split("  ")[1].startswith(f"{rows[0]['label']} ")


SAVED = Path(__file__).resolve().parents[1] / "fixtures" / "saved_2026_11"


@pytest.mark.parametrize(
    ("network", "option", "message"),
    [
        ("segmentation.ckpt", "--top 3", "--top applies to classification, but this network does segmentation"),
        ("segmentation.ckpt", "--score 0", "--score applies to detection, but this network does segmentation"),
        (
            "segmentation.ckpt",
            "--draw",
            "--draw applies to detection and classification, but this network does segmentation",
        ),
        ("segmentation.ckpt", "--out a.csv", "--out a.csv: masks need a folder; expected a name without .csv"),
        ("detection.ckpt", "--top 3", "--top applies to classification, but this network does detection"),
        ("detection.ckpt", "--score 2", "score: 2.0; expected 0 to 1"),
        ("detection.ckpt", "--tiles 8", "tiles: 8; expected the side of a tile in pixels, 32 or more"),
        (
            "segmentation.ckpt",
            "--tiles 64",
            "--tiles applies to detection, but this network does segmentation, whose tiles are `model.inference.tile`",
        ),
        (
            "segmentation.ckpt",
            "--overlap 8",
            "--overlap applies to detection, but this network does segmentation",
        ),
        ("half_run", "--draw --out a.csv", "--draw needs a folder to write to: --out a"),
        ("detection.ckpt", "--unsure", "--unsure applies to classification, but this network does detection"),
        (
            "half_run",
            "--unsure",
            "unsure: the checkpoint lacks what validation decides at the end of `fit`; expected best.ckpt of a "
            "finished run with tracking.decisions: true and at least 20 validation images",
        ),
    ],
)
def test_options_of_other_tasks_are_refused(
    resnet_tl: Callable[..., Any], here: Path, images: Path, network: str, option: str, message: str
) -> None:
    repair = "; remove it" if "applies" in message else ""
    done = resnet_tl(f"predict {{}} {{}} {option}", SAVED / network, images)
    assert done == (2, "", f"error: {message}{repair}\n")
    assert [path.name for path in here.iterdir()] == ["photos.yaml"]


@pytest.mark.parametrize("network", ["segmentation.ckpt", "detection.ckpt"])
def test_a_failed_run_leaves_no_folder_that_blocks_the_next(
    resnet_tl: Callable[..., Any], here: Path, images: Path, network: str
) -> None:
    (here / "cut.png").write_bytes(b"\x89PNG")
    line = "predict {} {} cut.png --out found"
    failed = resnet_tl(line, SAVED / network, images / "val" / "red")
    assert failed.code == 2
    assert "cut.png" in failed.err
    assert not (here / "found").exists()
    with pytest.warns(UserWarning, match="skipped: cut.png"):
        done = resnet_tl(f"{line} --on-error skip --batch-size 2", SAVED / network, images / "val" / "red")
    assert done.code == 0, done.err
    assert done.err.endswith("found: 4 images\n")
    assert (here / "found").is_dir()


def test_a_file_is_never_written_over(
    resnet_tl: Callable[..., Any], here: Path, images: Path, checkpoint: Path
) -> None:
    (here / "a.csv").write_text("mine")
    done = resnet_tl("predict some.ckpt {} --out a.csv", images)
    assert done == (2, "", "error: --out a.csv: exists already, and nothing is overwritten\n")
    assert (here / "a.csv").read_text() == "mine"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("predict", "predict needs a run folder or checkpoint, and images: resnet-tl predict RUN photos"),
        ("predict some.ckpt", "predict needs a run folder or checkpoint, and images: resnet-tl predict RUN photos"),
        ("predict nowhere x", "no run folder or checkpoint at 'nowhere'"),
        ("predict some.ckpt x --out a.txt", "--out a.txt: expected a name that ends in .csv or .json"),
        ("predict some.ckpt x --top 0", "--top is 0; expected 1 or more"),
        ("predict some.ckpt x --every 0", "--every is 0; expected 1 or more"),
        ("predict some.ckpt x --data.root y", "resnet-tl predict takes no recipe, so --data.root means nothing there"),
        (
            "predict some.ckpt x --on-eror skip",
            "resnet-tl predict: --on-eror: unknown option; did you mean --on-error?",
        ),
        ("predict some.ckpt x --device gpu", "no device 'gpu' here"),
    ],
)
def test_wrong_ways_to_predict(resnet_tl: Callable[..., Any], checkpoint: Path, line: str, message: str) -> None:
    done = resnet_tl(line)
    assert done.code == 2
    assert done.err.startswith(f"error: {message}")
    assert len(done.err.splitlines()) == 1


def test_nothing_to_draw_is_said_with_the_best_score(resnet_tl: Callable[..., Any], here: Path, images: Path) -> None:
    done = resnet_tl("predict {} {} --out found --draw --score 1", SAVED / "detection.ckpt", images / "val" / "red")
    assert done.code == 0
    first, last = done.err.splitlines()
    best = r"\((the best has 0\.\d{3}|none was found)\)"
    assert re.fullmatch(f"nothing is drawn: no object has a score of 1 or more {best}; --score lowers it", first)
    assert last == "found: 4 images"


def test_names_like_formulas_are_text_unless_asked(
    resnet_tl: Callable[..., Any], here: Path, images: Path, checkpoint: Path
) -> None:
    shutil.copy(images / "val" / "red" / "0.png", here / "=1+1.png")
    for option, path in (("", "'=1+1.png"), (" --no-csv-safe", "=1+1.png")):
        assert resnet_tl(f"predict some.ckpt =1+1.png --out a{len(option)}.csv{option}").code == 0
        assert (here / f"a{len(option)}.csv").read_text().splitlines()[1].startswith(f"{path},")


def test_every_nth_frame_of_a_video_is_a_line(resnet_tl: Callable[..., Any], here: Path, checkpoint: Path) -> None:
    writer = cv2.VideoWriter("film.avi", cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for _ in range(12):
        writer.write(np.zeros((48, 64, 3), np.uint8))
    writer.release()
    printed = resnet_tl("predict some.ckpt film.avi --every 5").out.splitlines()
    assert [line.split()[0] for line in printed] == ["film.avi/000000", "film.avi/000005", "film.avi/000010"]
    (here / "junk.mp4").write_bytes(b"no video")
    result = resnet_tl("predict some.ckpt junk.mp4")
    assert result.code == 2
    expected = "error: junk.mp4: cannot be opened as a video; it is damaged, or in a format unknown to OpenCV"
    assert result.err.splitlines()[-1] == expected  # FFmpeg is quiet in a process that begins with the command


def test_unsure_names_what_is_possible_and_what_is_none_of_these(
    resnet_tl: Callable[..., Any], here: Path, images: Path
) -> None:
    shutil.copytree(images, here / "many")
    for path in (here / "many" / "val").rglob("*.png"):
        for copy in range(2):  # 24 images
            shutil.copy(path, path.with_name(f"{copy}_{path.name}"))
    assert resnet_tl("fit -c photos.yaml --data.root many --run run --tracking.report false").code == 0
    (here / "green").mkdir()
    green = np.zeros((20, 20, 3), np.uint8)
    green[..., 1] = 210
    cv2.imwrite(str(here / "green" / "x.png"), green)
    line = "predict run {} green --unsure --out {}"
    for name in ("a.csv", "a.json"):
        assert resnet_tl(line, images / "val" / "red", name).code == 0
    rows = list(csv.DictReader((here / "a.csv").read_text().splitlines()))
    assert list(rows[0]) == ["path", "label", "score", "label_2", "score_2", "possible", "outlier_score"]
    assert all("red" in row["possible"].split("|") for row in rows[:4])
    assert rows[4]["possible"] == "none of these"
    entries = json.loads((here / "a.json").read_text())
    assert [entry["none_of_these"] for entry in entries] == [*[False] * 4, True]
    assert all(float(row["outlier_score"]) == pytest.approx(entry["outlier_score"], abs=1e-4)
               for row, entry in zip(rows, entries, strict=True))  # fmt: skip
    printed = resnet_tl("predict run green --unsure-by cosine").out
    assert printed.endswith("possible: none of these\n")
    assert resnet_tl("predict run green --unsure --draw --out drawn").code == 0
    assert (here / "drawn/classes.csv").is_file()
    assert cv2.imread(str(here / "drawn/drawn/x.jpg")) is not None
