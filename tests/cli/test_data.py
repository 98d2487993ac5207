"""`resnet-tl data check`: exit codes, files, and sentences."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from resnet_tl.recipe.shipped import shipped_root

SAMPLES = shipped_root() / "data" / "samples" / "classification"


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two classes of the samples."""
    for split in ("train", "val"):
        for name in ("cat", "dog"):
            shutil.copytree(SAMPLES / split / name, tmp_path / "photos" / split / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "photos"


def test_a_clean_set_has_exit_code_0(resnet_tl: Callable[..., Any], photos: Path) -> None:
    done = resnet_tl("data check photos")
    assert done.code == 0
    assert done.out.splitlines()[-1] == "nothing found"


def test_findings_are_listed_counted_and_written(resnet_tl: Callable[..., Any], photos: Path) -> None:
    broken, original = photos / "train/cat/000.png", photos / "train/dog/001.png"
    broken.write_bytes(broken.read_bytes()[:-300])
    shutil.copy(original, photos / "val/dog/leak.png")
    done = resnet_tl("data check photos --json found.json --write bad.csv")
    assert done.code == 1
    assert "photos/train/cat/000.png: " in done.out
    assert "photos/val/dog/leak.png: is the same file as photos/train/dog/001.png of train" in done.out
    found = json.loads(Path("found.json").read_text())
    assert {finding["kind"] for finding in found} == {"unreadable", "duplicate across splits"}
    rows = list(csv.DictReader(Path("bad.csv").read_text().splitlines()))
    assert [row["key"] for row in rows] == ["train/cat/000.png", "val/dog/leak.png"]
    again = resnet_tl("data check photos --json found.json")
    assert again.code == 2
    assert "found.json: exists already" in again.err


def test_a_recipe_names_the_data(resnet_tl: Callable[..., Any], photos: Path) -> None:
    assert resnet_tl("data check -c quickstart").code == 0
    assert resnet_tl("data check -c quickstart --data.root photos").code == 0


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("data check", "data check needs a folder, zip or CSV, or a recipe: resnet-tl data check photos"),
        ("data chek photos", "data has no 'chek': expected check, stats"),
        ("data check nowhere", "nowhere does not exist"),
        (
            "data check photos --data.batch_sise 3",
            "--data.batch_sise: unknown option; did you mean --data.batch_size",
        ),
        ("data check photos --draw a.png", "--draw: unknown option; expected --data.KEY"),
        ("data stats photos --draw a.gif", "--draw a.gif: expected a file that ends in .png or .jpg"),
        ("data stats photos --json /dev/null/a.json", "/dev/null/a.json: cannot be written: "),
        ("data stats photos --json a --draw ./a", "--json and --draw both name a; expected a file for each"),
        ("data preview photos --count 0", "--count is 0; expected 1 or more"),
    ],
)
def test_wrong_uses(resnet_tl: Callable[..., Any], photos: Path, line: str, message: str) -> None:
    done = resnet_tl(line)
    assert done.code == 2
    assert message in done.err


def test_stats_count_what_is_there(resnet_tl: Callable[..., Any], photos: Path) -> None:
    assert resnet_tl("data stats photos --json none/numbers.json").code == 0
    done = resnet_tl("data stats photos --json numbers.json")
    assert done.code == 0
    assert "width: 32 to 32 pixels, median 32" in done.out
    assert done.out.splitlines()[-1] == "sizes and channels of 40 of 40 train images"
    numbers = json.loads(Path("numbers.json").read_text())
    assert numbers["splits"] == {"train": 40, "val": 100}
    assert numbers["classes"] == {"cat": {"train": 20, "val": 50}, "dog": {"train": 20, "val": 50}}
    assert numbers["counted"] == "images"
    assert all(0 < mean < 1 for mean in numbers["channels"]["mean"])


def test_stats_of_objects_and_pixels(resnet_tl: Callable[..., Any], tmp_path: Path) -> None:
    for name, counted in (("detection", "objects"), ("segmentation", "pixels")):
        file = tmp_path / f"{name}.json"
        assert resnet_tl("data stats {} --json {}", SAMPLES.parent / name, file).code == 0
        numbers = json.loads(file.read_text())
        assert numbers["counted"] == counted
        if name == "detection":
            total = sum(sum(counts.values()) for counts in numbers["classes"].values())
            assert total == sum(numbers["objects"].values())
        else:
            shown = sum(counts["val"] for counts in numbers["classes"].values())
            assert 0.9 < shown / (8 * 96 * 96) <= 1


def test_objects_by_size_and_by_anchors(resnet_tl: Callable[..., Any], tmp_path: Path) -> None:
    line = "data stats -c detect/folder_retinanet_resnet50 --data.root {} --json {} --draw {}"
    done = resnet_tl(line, SAMPLES.parent / "detection", tmp_path / "a.json", tmp_path / "a.png")
    assert done.code == 0, done.err
    numbers = json.loads((tmp_path / "a.json").read_text())
    by_size = [sum(counts.values()) for counts in numbers["objects_by_class"].values()]
    assert by_size == [sum(counts.values()) for counts in numbers["classes"].values()]
    anchors = numbers["anchors"]
    assert (anchors["head"], anchors["image_size"]) == ("RetinaNet", 640)
    trained = sum(counts["train"] for counts in numbers["classes"].values())
    assert sum(anchors["levels"].values()) + anchors["none"] == trained
    assert "anchors of RetinaNet, images of 640 pixels: " in done.out
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.format == "PNG"


def test_preview_draws_a_sheet_once(resnet_tl: Callable[..., Any], photos: Path) -> None:
    done = resnet_tl("data preview photos --count 2 --epochs 2 --data.image_size 32 --out sheet.jpg")
    assert done.code == 0, done.err
    assert done.out.splitlines()[-1] == "sheet.jpg: what training sees of 2 images"
    with Image.open("sheet.jpg") as picture:
        assert picture.format == "JPEG"
    assert "sheet.jpg: exists already" in resnet_tl("data preview photos --out sheet.jpg").err


def test_faults_that_fit_refuses_are_findings(resnet_tl: Callable[..., Any], tmp_path: Path) -> None:
    root = shutil.copytree(SAMPLES.parent / "segmentation", tmp_path / "set")
    (root / "train/masks/00.png").unlink()
    done = resnet_tl("data check {} --write {}", root, tmp_path / "bad.csv")
    assert done.code == 1
    assert f"{root}/train/images/00.png: has no mask train/masks/00.png" in done.out
    assert resnet_tl("data check {} --data.exclude {}", root, tmp_path / "bad.csv").code == 0


def test_a_class_file_is_proposed_for_masks_in_colours(resnet_tl: Callable[..., Any], tmp_path: Path) -> None:
    for number in range(3):
        for folder, colour in (("images", (9, 9, number)), ("masks", (0, 0, 0))):
            image = Image.new("RGB", (8, 8), colour)
            if folder == "masks":
                image.paste((255, 0, 0), (0, 0, 4, 4))
                image.paste((0, 0, 128), (4, 4, 5 + number, 6))
            (tmp_path / folder).mkdir(exist_ok=True)
            image.save(tmp_path / folder / f"{number}.png")
    refused = resnet_tl("data check {}", tmp_path)
    assert refused.code == 2
    assert "the masks are in 3 colours (#000000 68.8%, #ff0000 25.0%, #000080 6.2%) that no class file" in refused.err
    line = f"data check {tmp_path} --write {tmp_path}/classes.csv"
    assert line in refused.err
    proposed = resnet_tl(line)
    assert (proposed.code, proposed.out.startswith(f"{tmp_path}/classes.csv: the colours of the masks")) == (1, True)
    text = (tmp_path / "classes.csv").read_text()
    assert text == "id,name,colour\n0,#000000,#000000\n1,#ff0000,#ff0000\n2,#000080,#000080\n"
    stats = resnet_tl("data stats {}", tmp_path)
    assert stats.code == 0
    assert "#ff0000" in stats.out


@pytest.mark.slow
def test_a_packed_set_trains_the_same_network(resnet_tl: Callable[..., Any], photos: Path) -> None:
    pytest.importorskip("litdata")
    done = resnet_tl("data pack photos packed --data.image_size 32")
    assert done.code == 0
    images = len(list(photos.rglob("*.png")))
    assert re.search(r"^packed: \d+ train, \d+ val in 2 shards, [\d.]+ MB, verified$", done.out, re.MULTILINE)
    assert sum(map(int, re.findall(r"(\d+) (?:train|val)[ ,]", done.out.splitlines()[-1]))) == images
    again = resnet_tl("data pack photos packed")
    assert (again.code, "holds a packed set already" in again.err) == (2, True)
    checked = resnet_tl("data check packed")
    assert "packed: read by Shards (shards packed from ImageFolder)" in checked.out
    assert checked.out.splitlines()[-1] == "nothing found"
    scores = {}
    for root, words in {"photos": "--data ImageFolder", "packed": "--data Shards"}.items():
        line = f"fit -c quickstart {words} --data.root {root} --trainer.max_epochs 2 --run runs/{root}"
        assert resnet_tl(line).code == 0
        metrics = Path(f"runs/{root}/metrics.csv").read_text().splitlines()
        scores[root] = [line for line in metrics if "seconds" not in line]
        assert resnet_tl(f"validate runs/{root}").code == 0
    assert scores["photos"] == scores["packed"]
    assert resnet_tl("validate runs/photos --data Shards --data.root packed").code == 0


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("data pack photos", "data pack needs a folder, zip or CSV, or a recipe, and DEST: resnet-tl data pack photos"),
        ("data pack -c quickstart", "data pack needs a folder, zip or CSV, or a recipe, and DEST"),
        ("data pack photos x --shard-mb 0", "--shard-mb is 0; expected 1 or more"),
        ("data pack photos x --shard-mb 5000", "--shard-mb is 5000; expected 2000 or less"),
        ("data pack nowhere x", "nowhere"),
        ("data pack '' x", "data.root is missing"),
        ("data pack photos ' '", "DEST is blank; expected a new folder, or an address as s3://bucket/photos"),
        ("data pack photos photos/packed", "photos/packed: lies in photos, which is packed; expected a folder outside"),
    ],
)
def test_a_pack_that_cannot_begin(resnet_tl: Callable[..., Any], photos: Path, line: str, message: str) -> None:
    done = resnet_tl(line)
    assert done.code == 2
    assert message in done.err
