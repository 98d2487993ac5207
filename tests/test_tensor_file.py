from __future__ import annotations

import enum
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from resnet_tl.errors import RunError, WeightsError
from resnet_tl.tensor_file import first_broken, load_safely, save_atomically, to_plain
from tests.test_files import file_size_limit


def test_to_plain_makes_everything_loadable(tmp_path: Path) -> None:
    class Colour(str, enum.Enum):
        RED = "red"

    state = {
        "rng": np.random.default_rng(0).bit_generator.state,
        "legacy rng": np.random.RandomState(0).get_state(),
        "score": np.float64(0.5),
        "count": np.int64(3),
        "path": Path("runs/a"),
        "colour": Colour.RED,
        "nested": [{"t": torch.arange(3)}, (1, None, True), {4, 5}],
    }
    save_atomically(to_plain(state), tmp_path / "x")
    back = load_safely(tmp_path / "x")
    assert back["rng"] == state["rng"]
    assert np.array_equal(back["legacy rng"][1].numpy(), state["legacy rng"][1])
    assert (back["score"], back["count"], back["path"], back["colour"]) == (0.5, 3, "runs/a", "red")
    assert torch.equal(back["nested"][0]["t"], torch.arange(3))
    assert back["nested"][1:] == [(1, None, True), {4, 5}]


def test_to_plain_names_the_key_of_an_unsupported_value() -> None:
    with pytest.raises(TypeError, match=r"^checkpoint\.callbacks\.mine\[1\] is a object: "):
        to_plain({"callbacks": {"mine": [1, object()]}})


def test_a_full_disk_is_one_sentence_and_leaves_the_old_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    save_atomically({"a": torch.ones(3)}, path)
    with pytest.raises(RunError, match=r"last\.ckpt: cannot be written: File too large$"), file_size_limit(100_000):
        save_atomically({"a": torch.zeros(100_000)}, path)
    assert torch.equal(load_safely(path)["a"], torch.ones(3))
    assert os.listdir(tmp_path) == ["last.ckpt"]


def test_a_compressed_file_is_refused_before_it_fills_the_memory(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1_000_000)}, tmp_path / "plain.pth")
    with (
        zipfile.ZipFile(tmp_path / "plain.pth") as plain,
        zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for part in plain.namelist():
            bomb.writestr(part, plain.read(part))
    with pytest.raises(WeightsError, match=r"bomb\.pth: a compressed zip, not a torch\.save file"):
        load_safely(tmp_path / "bomb.pth")


def test_the_first_tensor_with_impossible_values_is_named() -> None:
    good = {
        "a": torch.tensor([1e10, -1e10]),
        "n": torch.tensor(2**62),
        "none": torch.zeros(0),
        "h": torch.ones(2).half(),
    }
    assert first_broken(good) is None
    for value in (float("nan"), float("inf"), -float("inf"), 2e25, -2e25):
        assert first_broken({**good, "b": torch.tensor([0.0, value])}) == "b"
