"""Checkpoints that someone else made, changed at random: predicting with one is a sentence or works; it runs no code
and takes no more memory than an honest one."""

from __future__ import annotations

import copy
import random
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import resnet_tl
from resnet_tl.errors import UserError
from resnet_tl.tensor_file import save_atomically

ROOT = Path(__file__).resolve().parents[2]
SAVED = ROOT / "tests" / "fixtures" / "saved_2026_11"
SAMPLES = ROOT / "data" / "samples"
FILES = {
    "classification": (SAVED / "half_run/checkpoints/best.ckpt", SAMPLES / "classification/val/cat"),
    "segmentation": (SAVED / "segmentation.ckpt", SAMPLES / "segmentation/val/images"),
    "detection": (SAVED / "detection.ckpt", SAMPLES / "detection/images"),
}
BYTES = 300e6
"""More than an honest prediction takes, and far less than hostile sizes ask for."""

VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 7, 10**9, 10**30, 0.0, -1.5, float("nan"), float("inf"), 1e300, "", "x", "evilmod.boom",
    "os.system", "resnet_tl.files.Path", "resnet_tl.models.network.Network", "\x1b[31m", "../../x", [], [1], ["a", "b"],
    [[]], (1, 2), {}, {"class_path": 7}, {"class_path": "evilmod.boom", "init_args": {}}, {1: 2}, {"a": {"b": [None]}},
    b"x", {1, 2}, 1j, torch.zeros(0), torch.ones(3), torch.zeros(1).expand(10**9), torch.zeros(2, dtype=torch.bool),
    torch.zeros(2, 2).to_sparse(), torch.tensor(float("nan")), torch.zeros(3, dtype=torch.complex64),
)  # fmt: skip


@pytest.fixture
def evil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module that leaves a mark when it is imported."""
    (tmp_path / "evilmod.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\ndef boom(*args, **more): ...\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path / "ran"
    sys.modules.pop("evilmod", None)


@pytest.mark.parametrize("count", [12, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.parametrize("task", FILES)
def test_a_mutated_checkpoint_is_one_sentence_or_works(task: str, count: int, tmp_path: Path, evil: Path) -> None:
    saved, images = FILES[task]
    content = torch.load(saved, weights_only=True)
    files = sorted(map(str, images.iterdir()))[:2]
    draw, path, failures = random.Random(task), tmp_path / "x.ckpt", []
    resnet_tl.load(str(saved)).predict(files)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(count):
        mutated, how = _mutated(content, draw)
        save_atomically(mutated, path)
        try:
            resnet_tl.load(str(path)).predict(files)
        except UserError as error:
            if "Traceback" in str(error):
                failures.append((number, how, str(error)))
        except Exception as error:
            failures.append((number, how, repr(error)[:200]))
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    print(f"{task}: {count} mutated checkpoints, peak memory over an honest one {peak / 1e6:.0f} MB")
    assert failures == []
    assert not evil.exists()
    assert peak < BYTES


def _mutated(content: dict[str, Any], draw: random.Random) -> tuple[dict[str, Any], str]:
    """Returns a copy in which one value is replaced, deleted or added, and which; what prediction reads comes first."""
    copied = copy.deepcopy({key: value for key, value in content.items() if key != "optimizer_states"})
    model = ["resnet_tl", "recipe", "model"]
    at: list[Any] = list(
        draw.choice([["resnet_tl"], ["resnet_tl"], model, model, ["state_dict"], [draw.choice(list(copied))]])
    )
    parent: Any = copied
    for step in at[:-1]:
        parent = parent[step]
    key = at[-1]
    while isinstance(parent[key], (dict, list)) and len(parent[key]) and draw.random() < 0.85:
        parent = parent[key]
        key = draw.choice(list(parent) if isinstance(parent, dict) else range(len(parent)))
        at.append(key)
    action, value = draw.choice(["replace", "replace", "replace", "delete", "add"]), draw.choice(VALUES)
    if action == "delete":
        del parent[key]
    elif action == "add" and isinstance(parent, dict):
        parent["more"] = value
    elif action == "add":
        parent.append(value)
    else:
        parent[key] = value
    return copied, f"{action} {'.'.join(map(str, at))} {value!r}"[:300]
