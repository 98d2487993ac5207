"""What the pages and the README tell a reader to type runs, from top to bottom, in a folder like the reader's."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from doc_blocks import DOCS, ROOT, Block, adapted, blocks, pages, quick

import resnet_tl
from resnet_tl.cli.main import main

SAMPLES = ROOT / "data" / "samples"
PHOTOS = {"tasks/detect.md": "detection", "tasks/instance.md": "detection", "tasks/segment.md": "segmentation"}
"""Which samples a page's `photos` are; of all others some of those for classification."""

NAMES = [page.relative_to(ROOT).as_posix() for page in pages()]
RUNNING = [name for name in NAMES if any(block.runs and not block.slow for block in blocks(ROOT / name))]
SLOW = [name for name in NAMES if any(block.runs and block.slow for block in blocks(ROOT / name))]


@pytest.fixture(scope="session")
def few_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`{train,val}/<class>/*.png`: four images a class to train on, two to validate."""
    root = tmp_path_factory.mktemp("few")
    for split, count in (("train", 4), ("val", 2)):
        for folder in sorted((SAMPLES / "classification" / split).iterdir()):
            (root / split / folder.name).mkdir(parents=True)
            for image in sorted(folder.iterdir())[:count]:
                shutil.copy(image, root / split / folder.name)
    return root


@pytest.fixture
def here(request: pytest.FixtureRequest, few_photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A reader's folder: `photos`, `new_photos`, `named_photos`, `film.mp4`, and the repository's `data`."""
    name = request.node.callspec.params["name"].removeprefix("docs/")
    samples = SAMPLES / PHOTOS[name] if name in PHOTOS else few_photos
    (tmp_path / "photos").symlink_to(samples)
    (tmp_path / "data").symlink_to(ROOT / "data")
    images = sorted(samples.rglob("val*/**/*.png") if samples.name != "detection" else samples.rglob("val_*.png"))
    for folder in ("new_photos", "named_photos"):
        (tmp_path / folder).mkdir()
    for number, image in enumerate(images[:3]):
        shutil.copy(image, tmp_path / "new_photos" / f"{number}.png")
    writer = cv2.VideoWriter(str(tmp_path / "film.mp4"), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*"mp4v"), 10, (64, 48))
    for shade in range(30):
        writer.write(np.full((48, 64, 3), shade, np.uint8))
    writer.release()
    if samples == few_photos:
        for image in samples.glob("train/*/*.png"):
            shutil.copy(image, tmp_path / "named_photos" / f"{image.parent.name}_{image.name}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("logging.raiseExceptions", False)  # Lightning's handler keeps the stderr of an earlier test
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setattr(resnet_tl, "fit", quick(resnet_tl.fit))
    return tmp_path


@pytest.mark.parametrize("name", RUNNING)
def test_a_page_runs(name: str, here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    _run([block for block in blocks(ROOT / name) if not block.slow], name, here, _in_this_process, capfd)


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_the_slow_blocks_of_a_page_run(name: str, here: Path) -> None:
    _run([block for block in blocks(ROOT / name) if block.slow or block.file], name, here, _as_a_process)


NOT_RUN = [(page, block) for page in pages() for block in blocks(page) if block.mark.startswith("not run")]


def test_what_is_not_run_is_little_and_says_why() -> None:
    assert all(len(block.mark) > len("not run: ") for _, block in NOT_RUN)
    unchecked = [block for _, block in NOT_RUN if not _own_commands(block)]
    assert len(unchecked) <= 9


def test_commands_that_are_not_run_have_the_options_that_their_help_names(capsys: pytest.CaptureFixture[str]) -> None:
    for page, block in NOT_RUN:
        for words in _own_commands(block):
            assert main([words[1], "--help"]) == 0, f"{page.name}:{block.line}"
            described = capsys.readouterr().out
            options = {word.partition("=")[0] for word in words if word.startswith("--") and "." not in word}
            assert options <= set(re.findall(r"--[\w-]+", described)), f"{page.name}:{block.line}: {words}"


def _own_commands(block: Block) -> list[list[str]]:
    lines = block.text.replace("\\\n", " ").splitlines() if block.language == "bash" else []
    started = [re.sub(r"^torchrun .* --\s+(?=resnet-tl )", "", line) for line in lines]
    return [shlex.split(line, comments=True) for line in started if line.startswith("resnet-tl ")]


def _run(
    chosen: list[Block],
    name: str,
    folder: Path,
    call: Callable[[list[str]], int],
    capture: pytest.CaptureFixture[str] | None = None,
) -> None:
    namespace: dict[str, Any] = {}
    for block in chosen:
        at = f"{name}:{block.line}"
        if block.file is not None:
            (folder / block.file).write_text(block.text, encoding="utf-8")
        elif block.language == "yaml":
            assert yaml.safe_load(block.text), at
        elif block.runs and block.language == "python":
            exec(compile(block.text, at, "exec"), namespace)
        elif block.mark == "printed" and capture is not None:
            printed = "".join(capture.readouterr())
            assert " ".join(block.text.split()) in " ".join(printed.split()), f"{at}: what was printed: {printed}"
        elif block.runs and block.language == "bash":
            if capture is not None:
                capture.readouterr()
            for words in block.commands():
                assert words[0] in ("resnet-tl", "make"), f"{at}: {words[0]} is not a command of ours; mark the block"
                if words[0] == "resnet-tl":
                    assert call(adapted(words)) in block.exit_codes, f"{at}: {' '.join(words)}"


def _in_this_process(words: list[str]) -> int:
    return main(words[1:])


def _as_a_process(words: list[str]) -> int:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    return subprocess.run([sys.executable, "-m", "resnet_tl.cli.main", *words[1:]], env=environment).returncode


assert DOCS.is_dir()
