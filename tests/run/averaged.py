"""Two runs to average, and changed copies of their checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import resnet_tl
from resnet_tl import checkpoint
from resnet_tl.tensor_file import load_safely, save_atomically
from tests.cli.conftest import RECIPE


@pytest.fixture(scope="module")
def runs(images: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two runs from the same weights, on the same images."""
    folder, found = tmp_path_factory.mktemp("runs"), []
    for name, rate in (("one", 0.02), ("two", 0.01)):
        options: dict[str, Any] = {"data.root": images, "model.optimizer.lr": rate, "tracking.report": False}
        found.append(resnet_tl.fit(yaml.safe_load(RECIPE), run=folder / name, **options).path)
    return found


def changed(run: Path, path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """A copy of a run's checkpoint with other content."""
    content = load_safely(checkpoint.locate(run))
    change(content)
    save_atomically(content, path)
    return path
