"""`resnet-tl similar`."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

CIFAR = "builtin/resnet20_cifar10 --backbone resnet20_cifar"


def test_similar_images_are_listed_drawn_and_written(resnet_tl: Callable[..., Any], images: Path, here: Path) -> None:
    query = images / "val" / "red" / "0.png"
    done = resnet_tl(f"similar {CIFAR} {query} {images / 'val'} --top 3 --sheet near.jpg")
    assert done.code == 0, done.err
    heading, *lines = done.out.splitlines()
    assert heading == "score   path"
    assert len(lines) == 3
    assert all("/red/" in line for line in lines)
    assert str(query) not in done.out
    with Image.open("near.jpg") as sheet:
        assert sheet.width > 1500
    assert resnet_tl(f"similar {CIFAR} {query} {images / 'val'} --out near.csv").code == 0
    rows = list(csv.DictReader(Path("near.csv").read_text().splitlines()))
    assert len(rows) == 7
    assert [row["path"] for row in rows[:3]] == [line.split()[1] for line in lines]


def test_stored_features_give_the_same(resnet_tl: Callable[..., Any], images: Path, here: Path) -> None:
    query = images / "val" / "blue" / "1.png"
    assert resnet_tl(f"embed {CIFAR} {images / 'val'} --out x.npz").code == 0
    stored = resnet_tl(f"similar x.npz {query} --top 4 --sheet stored.jpg")
    assert stored.out == resnet_tl(f"similar {CIFAR} {query} {images / 'val'} --top 4").out
    assert Path("stored.jpg").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("similar", "similar needs a run folder or checkpoint, and images"),
        (f"similar {CIFAR} IMAGES/red/0.png", "similar needs a query and images to search"),
        (f"similar {CIFAR} IMAGES IMAGES", "8 images; expected one image to compare with"),
        (f"similar {CIFAR} IMAGES/red/0.png IMAGES --top 0", "--top is 0; expected 1 or more"),
        (f"similar {CIFAR} IMAGES/red/0.png IMAGES --sheet a.txt", "expected a file that ends in .png or .jpg"),
        (f"similar {CIFAR} IMAGES/red/0.png IMAGES --out photos.yaml", "exists already, and nothing is overwritten"),
        ("similar gone.npz IMAGES/red/0.png", "there is no file gone.npz"),
        ("similar gone.npz IMAGES/red/0.png IMAGES", "gone.npz holds the images to search: remove"),
        ("similar gone.npz IMAGES/red/0.png --level c3", "--level: the features of gone.npz are computed; remove it"),
    ],
)
def test_mistakes_are_one_sentence(
    resnet_tl: Callable[..., Any], images: Path, here: Path, words: str, message: str
) -> None:
    done = resnet_tl(words.replace("IMAGES", str(images / "val")))
    assert done.code == 2
    assert message in done.err
    assert done.err.count("\n") == 1
    assert [path.name for path in here.iterdir()] == ["photos.yaml"]


def test_a_query_that_is_not_stored_is_named(resnet_tl: Callable[..., Any], images: Path, here: Path) -> None:
    assert resnet_tl(f"embed {CIFAR} {images / 'val'} --out x.npz").code == 0
    done = resnet_tl(f"similar x.npz {images / 'val' / 'red' / '0.pn'}")
    assert done.code == 2
    assert f"is not a path in x.npz, as {images / 'val' / 'blue' / '0.png'}; did you mean" in done.err
