"""File names of every kind: predicted, written, read back, and harmless on a terminal."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SAVED = Path(__file__).resolve().parents[1] / "fixtures" / "saved_2026_11"
STEMS = [
    b"plain", b"=1+1", b"+1", b"-rf", b"--help", b"@SUM(A1)", b"'quoted'", b"'=x", b'"double"', b"a,b", b"a;b", b"a\tb",
    b"\ttab", b"a\nb", b"a\r\nb", b"\x1b[31mred", b"\x1b]0;title\x07", b"\x9b31m", b"\x07", b"\x7f", b"caf\xe9",
    b"\xff\xfe",
    b"\xed\xa0\x80", b"caf\xc3\xa9", b"cafe\xcc\x81", b"\xe2\x80\xaeexe", b"\xe2\x80\xa8line", b"\xf0\x9f\x90\xb1",
    b"$(touch ran)", b"`touch ran`", b";touch ran", b"|touch ran", b"%s%n", b"{0}", b"<b>&amp;", b"*", b"[ab]", b"a b",
    b"  space  ", b"dots..",
]  # fmt: skip


@pytest.fixture
def hostile(tmp_path: Path, images: Path) -> list[str]:
    """40 images, as Python names them."""
    image = (images / "val" / "red" / "0.png").read_bytes()
    folder = os.fsencode(tmp_path / "new")
    os.mkdir(folder)
    for stem in STEMS:
        with open(os.path.join(folder, stem + b".png"), "xb") as file:
            file.write(image)
    return sorted(os.path.join(tmp_path / "new", name) for name in os.listdir(tmp_path / "new"))


def as_written(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode()


def test_forty_names_are_predicted_and_written(resnet_tl: Callable[..., Any], here: Path, hostile: list[str]) -> None:
    assert len(hostile) == 40
    for out in ("a.csv", "a.json"):
        done = resnet_tl("predict {} new --out {}", SAVED / "half_run", out)
        assert (done.code, done.out) == (0, ""), done.err
    names = [os.path.relpath(name) for name in hostile]
    with open("a.csv", encoding="utf-8", newline="") as file:
        assert [row["path"] for row in csv.DictReader(file)] == [as_written(name) for name in names]
    assert [entry["path"] for entry in json.loads(Path("a.json").read_text(encoding="utf-8"))] == names
    printed = resnet_tl("predict {} new", SAVED / "half_run").out
    assert {each for each in printed if ord(each) < 32 or 126 < ord(each) < 160} == {"\n"}
    assert not (here / "ran").exists()


@pytest.mark.parametrize("network", ["segmentation.ckpt", "detection.ckpt"])
def test_masks_and_boxes_of_forty_names(
    resnet_tl: Callable[..., Any], here: Path, hostile: list[str], network: str
) -> None:
    draw = " --draw" if network == "detection.ckpt" else ""
    done = resnet_tl(f"predict {{}} new --out found{draw}", SAVED / network)
    assert done.code == 0, done.err
    folder, ending = ("drawn", ".jpg") if draw else ("masks", ".png")
    assert len(list((here / "found" / folder).glob(f"*{ending}"))) == 40
    assert (here / "found" / ("objects.csv" if draw else "areas.csv")).read_text(encoding="utf-8")
    assert not (here / "ran").exists()


@pytest.mark.parametrize("name", [b"\x1b[31mred.png", b"caf\xe9.png", b"a\rb.png"])
def test_an_error_about_a_name_is_harmless(resnet_tl: Callable[..., Any], here: Path, name: bytes) -> None:
    with open(name, "wb") as file:
        file.write(b"no image")
    done = resnet_tl("predict {} {}", SAVED / "half_run", os.fsdecode(name))
    assert done.code == 2
    assert done.err.startswith("error: ")
    assert done.err.endswith(": not an image, or a damaged one (it starts with b'no image')\n")
    assert all(32 <= ord(each) < 127 for each in done.err[:-1])
    done = resnet_tl("fit -c photos.yaml --data.root {}", os.fsdecode(name) + "x")
    assert done.code == 2
    assert all(32 <= ord(each) < 127 for each in done.err[:-1])
