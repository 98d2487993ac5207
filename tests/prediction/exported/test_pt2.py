"""Files that are no .pt2 of this project, damaged ones, and those whose code is not trusted."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

import resnet_tl
from resnet_tl.errors import WeightsError
from resnet_tl.prediction.exported.load import read_exported
from resnet_tl.prediction.exported.pt2 import open_pt2


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a network that is not from `resnet-tl export`."""
    path = tmp_path_factory.mktemp("pt2") / "other.pt2"
    torch.export.save(torch.export.export(torch.nn.Conv2d(3, 4, 1), (torch.zeros(1, 3, 8, 8),)), path)
    return path


@pytest.mark.parametrize("name", ["birds.onnx", "birds.pt2", "model.xml"])
def test_a_file_without_permission_is_not_called_damaged(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, mode: str) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    (tmp_path / name).touch()
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(PermissionError, match=name):
        read_exported(tmp_path / name, trust_code=True)


def test_no_file_is_opened_without_trust(file: Path) -> None:
    with pytest.raises(WeightsError, match=r"other\.pt2: torch runs code from \.pt2 files .*: add --trust-code"):
        resnet_tl.load(file)


def test_files_of_others_are_refused(file: Path) -> None:
    with pytest.raises(WeightsError, match="not exported by `resnet-tl export`"):
        resnet_tl.load(file, trust_code=True)


def test_damaged_files_are_refused(file: Path, tmp_path: Path) -> None:
    content = file.read_bytes()
    (tmp_path / "cut.pt2").write_bytes(content[: len(content) // 2])
    flipped = bytearray(content)
    flipped[content.index(b"schema_version")] ^= 1
    (tmp_path / "flipped.pt2").write_bytes(flipped)
    (tmp_path / "text.pt2").write_text("not a network")
    torch.save({"a": 1}, tmp_path / "tensors.pt2")
    sentences = {
        "cut": "no zip, or cut off",
        "flipped": "does not match its checksum",
        "text": "no zip, or cut off",
        "tensors": "not readable as a .pt2 file",
    }
    for name, sentence in sentences.items():
        with pytest.raises(WeightsError, match=rf"{name}\.pt2: .*{sentence}"):
            resnet_tl.load(tmp_path / f"{name}.pt2", trust_code=True)


def test_the_entry_of_the_description_is_read(file: Path, tmp_path: Path) -> None:
    program = torch.export.load(file)
    torch.export.save(program, tmp_path / "described.pt2", extra_files={"resnet_tl": "ä"})
    assert open_pt2(tmp_path / "described.pt2")[1] == "ä"
    shutil.copy(file, tmp_path / "bare.pt2")
    assert open_pt2(tmp_path / "bare.pt2")[1] is None
