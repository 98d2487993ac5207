# ruff: noqa: E501  (a table: a command and its sentence a line)
"""Users' mistakes: one sentence that names the cause, exit code 2, and no files left behind."""

from __future__ import annotations

import os
import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

DATA = "data:\n  class_path: ImageFolder\n  init_args: {root: photos}\n"
FIT = "fit -c photos.yaml --data.root "


class Evil:
    def __reduce__(self) -> Any:
        return os.system, ("touch ran",)


@pytest.fixture
def world(here: Path, images: Path) -> Path:
    """A folder of everything that can be wrong."""
    shutil.copytree(images, here / "photos")
    for name in ("empty", "hollow/cat", "hollow/dog"):
        (here / name).mkdir(parents=True)
    shutil.copytree(images / "train" / "red", here / "single" / "red")
    shutil.copytree(images / "train" / "red", here / "gap" / "red")
    (here / "gap" / "blue").mkdir()
    shutil.copytree(images / "train", here / "broken")
    for number in range(6):
        (here / "broken" / "red" / f"{number}.png").write_bytes(b"\x89PNG\r\n\x1a\nnot really")
    (here / "no_label.csv").write_text("path,klass\nphotos/train/red/0.png,red\n")
    (here / "words.txt").write_text("hello")
    (here / "wrong.yaml").write_text(
        "model:\n  class_path: Classification\n  init_args:\n    optimiser: {lr: 1}\n" + DATA
    )
    (here / "tab.yaml").write_text("model:\n\tclass_path: Classification\n")
    (here / "evil.pth").write_bytes(pickle.dumps(Evil()))
    torch.save({"features.0.weight": torch.zeros(3, 3), "features.1.weight": torch.zeros(4)}, here / "other.pth")
    cv2.imwrite(str(here / "one.png"), np.zeros((8, 8, 3), np.uint8))
    return here


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (FIT + "nowhere", r"nowhere does not exist"),
        (FIT + "photo", r"photo does not exist; did you mean 'photos'\?"),
        (FIT + "words.txt", r"words\.txt"),
        (FIT + "empty", r"empty"),
        (FIT + "hollow", r"hollow"),
        (FIT + "single", r"single.*'?red"),
        (FIT + "gap", r".*gap/blue.*"),
        (FIT + "broken", r"broken has 6 faults; repair or remove such images, .*:(\n  broken/red/\d+\.png: a damaged image){6}"),
        (FIT + "broken --data.num_workers 1", r"broken has 6 faults; repair or remove such images, or skip them by data.on_error"),
        ("fit -c photos.yaml --data ImageTable --data.csv no_label.csv", r"no_label\.csv.*'label'"),
        ("fit -c photos.yaml --data ImageTable --data.csv nowhere.csv", r"nowhere\.csv"),
        ("fit -c photos.yaml", r"data\.root is missing: add --data\.root VALUE or write it in the recipe"),
        ("fit -c wrong.yaml", r"wrong\.yaml:4: unknown key 'optimiser' under model\.init_args; did you mean 'optimizer'\?"),
        ("fit -c tab.yaml", r"tab\.yaml:2: not valid YAML: found character '\\t' that cannot start any token \(indent .*"),
        ("fit -c one.png", r"one\.png: not a recipe: a recipe is YAML, text in UTF-8"),
        ("fit -c nowhere.yaml", r"no recipe 'nowhere\.yaml': .*"),
        (FIT + "photos --data.batch_size many", r"--data\.batch_size must be int in \[1, 65536\] or 'auto', got 'many'"),
        (FIT + "photos --data.batch_size -1", r"--data\.batch_size must be int in \[1, 65536\] or 'auto', got -1"),
        (FIT + "photos --model.backbone.name resnet51", r"there is no ResNet variant 'resnet51'; did you mean 'resnet50'\?"),
        (FIT + "photos --model.backbone.weights other.pth", r"other\.pth.* 0 ?%.*"),
        (FIT + "photos --model.backbone.weights evil.pth", r"evil\.pth.*code.*"),
        (FIT + "photos --model.backbone.weights nowhere.pth", r".*nowhere\.pth.*"),
        (FIT + "photos --model.backbone.weights builtin/resnet99", r".*builtin/resnet99.*"),
        (FIT + "photos --model.optimizer.name sdg", r"optimizer\.name is 'sdg'.*did you mean 'sgd'\?"),
        (FIT + "photos --trainer.accelerator gpu", r"trainer\.accelerator is 'gpu', but torch finds no GPU on this machine; to run on the CPU: .*"),
        (FIT + "photos --trainer.devices 4", r"trainer\.devices is 4, but torch finds no GPU on this machine; .*"),
        (FIT + "photos --trainer.strategy dpp", r"trainer\.strategy is 'dpp'; expected auto, ddp, .*; did you mean 'ddp'?"),
        (FIT + "photos --run words.txt", r"--run words\.txt: is a file, expected a folder"),
        (FIT + "photos --run /proc/run", r"--run /proc/run: cannot create the run's folder: .*"),
        (FIT + "photos --run photos", r"--run photos: the folder is not empty; nothing was written: .*"),
        ("validate evil.pth", r"evil\.pth: refused, because .*code.*"),
        ("validate other.pth", r"other\.pth: not a checkpoint of resnet_tl but .*weights without class names .*"),
        ("predict words.txt one.png", r"words\.txt: not a torch\.save file, .*"),
        ("predict empty one.png", r"empty: no .* in this folder: expected .*"),
    ],
)  # fmt: skip
def test_one_sentence_and_no_files_left(
    resnet_tl: Callable[..., Any], world: Path, monkeypatch: pytest.MonkeyPatch, line: str, message: str
) -> None:
    if "GPU" in message:
        monkeypatch.setattr("torch.cuda.is_available", lambda: False)
        monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    before = sorted(path for path in world.rglob("*") if path.is_file())
    done = resnet_tl(line)
    assert done.code == 2
    last = done.err.rstrip("\n")[done.err.rindex("error: ") :]
    assert re.fullmatch("error: " + message + ".*", last, re.DOTALL if "faults" in message else 0), last
    assert "Traceback" not in done.err
    assert len(last) < 500
    assert sorted(path for path in world.rglob("*") if path.is_file()) == before
