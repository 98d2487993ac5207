"""A few images, a small recipe, and the command called in this process."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pytest
import yaml

from resnet_tl.cli.main import main

RECIPE = """\
# Red or blue, in seconds.
model:
  class_path: Classification
  init_args:
    backbone: {name: resnet_tiny}
    optimizer: {lr: 0.02}
    schedule: {name: cosine}
data:
  class_path: ImageFolder
  init_args: {image_size: 16, crop: 1.0, batch_size: 4, num_workers: 0, augment: light}
trainer: {max_epochs: 2, precision: "32"}
"""


class Done(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`{train,val}/{blue,red}/*.png`: 6 and 4 images a class."""
    root, draw = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for split, count in (("train", 6), ("val", 4)):
        for name, channel in (("blue", 0), ("red", 2)):
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                image = draw.integers(0, 60, (20, 20, 3), np.uint8)
                image[..., channel] += 150
                cv2.imwrite(str(folder / f"{number}.png"), image)
    return root


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder to work in, with `photos.yaml`. What a test imports from it is not imported for the next."""
    (tmp_path / "photos.yaml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def resnet_tl(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Done]:
    """`resnet_tl("fit -c {}", path)`: the command, its exit code and what it printed."""
    monkeypatch.setattr("logging.raiseExceptions", False)  # Lightning's handler keeps the stderr of an earlier test

    def call(line: str, *values: object) -> Done:
        capfd.readouterr()
        code = main(shlex.split(line.format(*(shlex.quote(str(value)) for value in values))))
        return Done(code, *capfd.readouterr())

    return call


def several_labels(images: Path, folder: Path, **head: object) -> dict[str, Any]:
    """The recipe for these images with two labels each: their colour, and `dark`."""
    rows = [f"{path.relative_to(images)},{path.parent.name}|dark,{path.parts[-3]}" for path in images.rglob("*.png")]
    (folder / "labels.csv").write_text("\n".join(["path,label,split", *sorted(rows)]))
    recipe: dict[str, Any] = yaml.safe_load(RECIPE)
    recipe["data"]["class_path"] = "ImageTable"
    recipe["data"]["init_args"] |= {"csv": str(folder / "labels.csv"), "root": str(images)}
    recipe["model"]["init_args"]["head"] = {"class_path": "LinearHead", "init_args": {"multi_label": True, **head}}
    return recipe
