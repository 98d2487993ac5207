"""Weight files are read without running code, and written once."""

from __future__ import annotations

import argparse
import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from resnet_tl.errors import WeightsError
from resnet_tl.weights.files import read_json, save_weights, sha256_of
from resnet_tl.weights.records import WeightRecord
from resnet_tl.weights.sources import fetch

from .conftest import equal


def test_saving_never_overwrites(tmp_path: Path, small: dict[str, Tensor]) -> None:
    path = tmp_path / "x.safetensors"
    path.write_text("dear")
    with pytest.raises(WeightsError, match="never overwritten"):
        save_weights(small, WeightRecord("?"), path)
    with pytest.raises(WeightsError, match=r"x\.pth: weights are written as \.safetensors"):
        save_weights(small, WeightRecord("?"), tmp_path / "x.pth")
    assert [file.name for file in tmp_path.iterdir()] == ["x.safetensors"]
    assert path.read_text() == "dear"


class RunsCode:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_that_would_run_code_is_refused(tmp_path: Path, small: dict[str, Tensor], zipped: bool) -> None:
    path, marker = tmp_path / "evil.pth", tmp_path / "ran"
    torch.save({"state_dict": small, "epoch": RunsCode(marker)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(WeightsError, match=r"^[^\n]*evil\.pth: [^\n]*run code[^\n]*$"):
        fetch(str(path))
    assert not marker.exists()
    torch.load(path, weights_only=False)
    assert marker.exists(), "the file was harmless: the test proves nothing"


def test_a_pickled_module_is_refused(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pth")
    with pytest.raises(WeightsError, match=r"module\.pth: [^\n]*run code \(torch\.nn\.modules\.linear\.Linear\)"):
        fetch(str(tmp_path / "module.pth"))


def test_the_arguments_of_a_training_script_are_harmless(tmp_path: Path, small: dict[str, Tensor]) -> None:
    torch.save({"model": small, "args": argparse.Namespace(lr=0.1)}, tmp_path / "x.pth")
    assert equal(dict(fetch(str(tmp_path / "x.pth"))[0]["model"]), small)


@pytest.mark.parametrize("name", ["x.pth", "x.safetensors"])
@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04", b"\x80\x02", bytes(range(256))])
def test_other_files_are_one_sentence(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=rf"^[^\n]*{name}: [^\n]*$"):
        fetch(str(tmp_path / name))


def test_a_file_without_a_dictionary(tmp_path: Path) -> None:
    torch.save(torch.ones(2), tmp_path / "x.pth")
    with pytest.raises(WeightsError, match=r"x\.pth: holds a Tensor, not a dictionary"):
        fetch(str(tmp_path / "x.pth"))


def test_the_hash_is_that_of_the_bytes(tmp_path: Path) -> None:
    content = os.urandom((1 << 20) + 7)
    (tmp_path / "x").write_bytes(content)
    assert sha256_of(tmp_path / "x") == hashlib.sha256(content).hexdigest()
    with pytest.raises(WeightsError, match="cannot be read: No such file or directory"):
        sha256_of(tmp_path / "y")


@pytest.mark.parametrize(("text", "words"), [("{", "is not valid JSON"), ("[1]", "holds a list, not a dictionary")])
def test_invalid_json_is_one_sentence(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(WeightsError, match=rf"config\.json: {words}"):
        read_json(tmp_path / "config.json")
