from __future__ import annotations

import enum
import os
import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from resnet_tl.checkpoint import bundle, load_safely, locate, read, save_atomically, to_plain
from resnet_tl.errors import RunError, WeightsError
from resnet_tl.structures.records import Preprocessing
from tests.test_files import file_size_limit

SAVED = Path(__file__).resolve().parent / "fixtures" / "saved_2026_11"
MODEL = {"class_path": "resnet_tl.tasks.classification.Classification", "init_args": {"backbone": {"name": "resnet18"}}}


def checkpoint(**changes: Any) -> dict[str, Any]:
    return {
        "epoch": 2,
        "global_step": 30,
        "pytorch-lightning_version": "2.6.6",
        "state_dict": {"network.trunk.conv1.weight": torch.ones(2), "mean_loss.value": torch.zeros(1)},
        "resnet_tl": bundle(MODEL, ["ant", "bee"], Preprocessing(size=64), {"seed_everything": 1}),
        **changes,
    }


class RunsCode:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.marker),)


def test_read_returns_what_was_saved(tmp_path: Path) -> None:
    save_atomically(checkpoint(), tmp_path / "x.ckpt")
    ours = read(tmp_path / "x.ckpt")
    assert (ours.path, ours.classes, ours.epoch, ours.step) == (tmp_path / "x.ckpt", ["ant", "bee"], 2, 30)
    assert ours.preprocessing == Preprocessing(size=64)
    assert ours.recipe == {"seed_everything": 1, "model": MODEL}
    assert list(ours.state_dict) == ["trunk.conv1.weight"]


@pytest.mark.parametrize(
    ("there", "expected"), [(["best", "last"], "best"), (["last"], "last")], ids=["best", "last when no best"]
)
def test_a_run_folder_stands_for_its_best_checkpoint(tmp_path: Path, there: list[str], expected: str) -> None:
    (tmp_path / "checkpoints").mkdir()
    for name in there:
        (tmp_path / "checkpoints" / f"{name}.ckpt").touch()
    assert locate(tmp_path) == tmp_path / "checkpoints" / f"{expected}.ckpt"


def test_a_missing_path_suggests_the_closest_one(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    with pytest.raises(WeightsError, match=r"^no run folder or checkpoint at '.*/fotos'; did you mean '.*/photos'\?$"):
        locate(tmp_path / "fotos")


def test_a_folder_of_runs_suggests_the_newest(tmp_path: Path) -> None:
    for run in ("2026-01-01", "2026-01-02"):
        save_atomically({}, tmp_path / run / "checkpoints" / "last.ckpt")
    with pytest.raises(WeightsError, match=r"no run in this folder: .*the newest run inside is '.*2026-01-02'$"):
        locate(tmp_path)


@pytest.mark.parametrize("form", ["zip", "legacy", "pickle"])
def test_files_with_code_are_refused_and_never_run(tmp_path: Path, form: str) -> None:
    marker, path = tmp_path / "ran", tmp_path / "x.ckpt"
    content = checkpoint(callbacks=RunsCode(marker))
    if form == "pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(WeightsError, match=r"x\.ckpt: refused, because reading .* run code[^\n]*$"):
        read(path)
    assert not marker.exists()
    torch.load(path, weights_only=False) if form != "pickle" else pickle.loads(path.read_bytes())
    assert marker.exists(), "the file holds no code: the test proves nothing"


def test_other_files_are_described(tmp_path: Path) -> None:
    contents = {
        "weights": {"conv1.weight": torch.ones(1)},
        "foreign": {"pytorch-lightning_version": "2.0", "state_dict": {}},
        "tensor": torch.ones(1),
    }
    for name, content in contents.items():
        torch.save(content, tmp_path / name)
    whole = (tmp_path / "weights").read_bytes()
    (tmp_path / "cut").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text").write_text("epoch,step\n")
    (tmp_path / "empty").touch()
    expected = {
        "weights": "weights without class names",
        "foreign": "a Lightning checkpoint of another project",
        "tensor": "a Tensor",
        "cut": "cut off or damaged",
        "text": "not a torch.save file",
        "empty": "not a torch.save file",
    }
    for name, words in expected.items():
        with pytest.raises(WeightsError, match=rf"{name}: [^\n]*{words}[^\n]*$"):
            read(tmp_path / name)


def test_a_newer_format_asks_for_an_upgrade(tmp_path: Path) -> None:
    newer = checkpoint()
    newer["resnet_tl"]["version"] = 99
    save_atomically(newer, tmp_path / "x.ckpt")
    with pytest.raises(WeightsError, match="written by a newer resnet_tl"):
        read(tmp_path / "x.ckpt")


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


@pytest.mark.parametrize("change", ["flip", "cut"])
def test_a_flipped_bit_or_a_cut_is_named_and_never_predicted_with(tmp_path: Path, change: str) -> None:
    """100 of each: what still loads has the same content, as the byte was one that nobody reads (padding)."""
    whole, path = (SAVED / "half_run/checkpoints/best.ckpt").read_bytes(), tmp_path / "a.ckpt"
    expected, draw, named = read(SAVED / "half_run"), random.Random(0), 0
    for _ in range(100):
        data = bytearray(whole)
        at = draw.randrange(len(data))
        if change == "flip":
            data[at] ^= 1 << draw.randrange(8)
        else:
            del data[at:]
        path.write_bytes(data)
        try:
            found = read(path)
        except WeightsError as error:
            named += str(error).startswith(f"{path}: ")
        else:
            assert (found.recipe, found.classes, found.preprocessing) == (
                expected.recipe,
                expected.classes,
                expected.preprocessing,
            )
            assert all(torch.equal(value, expected.state_dict[key]) for key, value in found.state_dict.items())
    assert named >= 90


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    content = checkpoint()
    content["state_dict"]["network.trunk.conv1.weight"][0] = float("nan")
    save_atomically(content, path)
    with pytest.raises(WeightsError, match=r"network\.trunk\.conv1\.weight holds NaN or infinite values"):
        read(path)
