from __future__ import annotations

import copy
import os
import pickle
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from resnet_tl.checkpoint import bundle, locate, read, store_decisions
from resnet_tl.errors import WeightsError
from resnet_tl.structures.decisions import ClassSpace, Decisions
from resnet_tl.structures.records import Preprocessing
from resnet_tl.tensor_file import save_atomically

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


def test_decisions_are_stored_without_changing_the_rest(tmp_path: Path) -> None:
    path, decisions = tmp_path / "x.ckpt", Decisions(temperature=[1.5])
    save_atomically(checkpoint(), path)
    assert read(path).decisions == Decisions()
    store_decisions(path, decisions)
    assert read(path).decisions == decisions
    content, before = torch.load(path, weights_only=True), checkpoint()
    assert content.keys() == before.keys()
    assert {key: value for key, value in content["resnet_tl"].items() if key != "decisions"} == before["resnet_tl"]


@pytest.mark.parametrize(
    ("decisions", "words"),
    [
        ({"temperature": [-1.0]}, "decisions.temperature.0: input should be greater than or equal to 0.1, got -1.0"),
        ({"temperature": [float("nan")]}, "decisions.temperature.0: "),
        ({"temperature": [1.0, 1.0, 1.0]}, "decisions.temperature has 3 entries for 2 classes"),
        ({"box_scores": [0.5]}, "decisions.box_scores has 1 entries for 2 classes"),
        ("x", "decisions: "),
    ],
)
def test_decisions_out_of_range_are_refused(tmp_path: Path, decisions: Any, words: str) -> None:
    content = copy.deepcopy(checkpoint())
    content["resnet_tl"]["decisions"] = decisions
    save_atomically(content, tmp_path / "x.ckpt")
    with pytest.raises(WeightsError, match=re.escape(words)):
        read(tmp_path / "x.ckpt")


def space(**changes: Any) -> dict[str, Any]:
    shapes = ClassSpace.shapes(2, 4, 1)
    return {name: torch.ones(shape) for name, shape in shapes.items()} | changes


def test_the_space_of_classes_is_stored_as_tensors(tmp_path: Path) -> None:
    path = tmp_path / "x.ckpt"
    save_atomically(checkpoint(), path)
    assert read(path).class_space is None
    store_decisions(path, Decisions(possible=0.5), ClassSpace(**{key: each.numpy() for key, each in space().items()}))
    stored = read(path).class_space
    assert stored is not None
    assert {name: getattr(stored, name).shape for name in space()} == ClassSpace.shapes(2, 4, 1)
    store_decisions(path, Decisions())
    assert read(path).class_space is None


@pytest.mark.parametrize(
    "broken",
    [
        {}, space(means=torch.ones(2)), space(origin=torch.ones(2)), space(centres=torch.ones(3, 1)),
        space(origin=torch.tensor(1.0)), space(more=torch.ones(1)), space(spread=torch.tensor([float("nan")])),
        space(means=torch.ones(2, 4).to_sparse()), {"means": torch.ones(2, 4)}, "x", {"means": 1},
    ],
)  # fmt: skip
def test_a_broken_space_of_classes_is_a_sentence(tmp_path: Path, broken: Any) -> None:
    save_atomically(checkpoint(resnet_tl_class_space=broken), tmp_path / "x.ckpt")
    with pytest.raises(WeightsError, match=r"resnet_tl_class_space|holds NaN"):
        read(tmp_path / "x.ckpt")


def test_images_of_masks_may_keep_their_size(tmp_path: Path) -> None:
    content = copy.deepcopy(checkpoint())
    content["resnet_tl"]["preprocessing"]["size"] = 0
    save_atomically(content, tmp_path / "x.ckpt")
    assert read(tmp_path / "x.ckpt").preprocessing.size == 0


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


def test_an_address_is_to_be_copied_first() -> None:
    with pytest.raises(WeightsError, match="is an address; expected a run folder or checkpoint on this machine"):
        locate("s3://bucket/runs/birds")


def test_a_recipe_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("trainer: {max_epochs: 1}\n")
    with pytest.raises(WeightsError, match=r"mine\.yaml is a recipe, .* expected a run folder or checkpoint"):
        locate(tmp_path / "mine.yaml")
    save_atomically({}, tmp_path / "run.yaml" / "checkpoints" / "last.ckpt")
    assert locate(tmp_path / "run.yaml") == tmp_path / "run.yaml" / "checkpoints" / "last.ckpt"


def test_a_folder_of_runs_suggests_the_newest(tmp_path: Path) -> None:
    for hour, run in enumerate(("second", "first"), 1):
        save_atomically({}, tmp_path / run / "checkpoints" / "last.ckpt")
        os.utime(tmp_path / run / "checkpoints" / "last.ckpt", (3600 * hour, 3600 * hour))
    with pytest.raises(WeightsError, match=r"no run in this folder: .*the newest run inside is '.*first'$"):
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


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    content = checkpoint()
    content["state_dict"]["network.trunk.conv1.weight"][0] = float("nan")
    save_atomically(content, path)
    with pytest.raises(WeightsError, match=r"network\.trunk\.conv1\.weight holds NaN or infinite values"):
        read(path)


@pytest.mark.parametrize(
    ("keys", "value", "words"),
    [
        (("epoch",), None, "epoch: input should be a valid integer, got None"),
        (("state_dict",), {"network.x": [1.0]}, r"state_dict\.network\.x: .* be an instance of Tensor"),
        (("state_dict",), {"x": torch.zeros(1).expand(10**9)}, r"state_dict\.x is not a dense tensor"),
        (("resnet_tl",), 7, "resnet_tl: .* an object, got 7"),
        (("resnet_tl", "classes"), [], r"resnet_tl\.classes: list should have at least 1 item"),
        (("resnet_tl", "classes"), [1, 2], r"resnet_tl\.classes\.0: .* be a valid string, got 1"),
        (("resnet_tl", "codes"), [1], r"resnet_tl\.codes has 1 entries for 2 classes"),
        (("resnet_tl", "preprocessing", "size"), 10**9, r"preprocessing\.size: .* be less than or equal to 16384"),
        (("resnet_tl", "preprocessing", "flip"), True, r"preprocessing\.flip: extra inputs are not permitted"),
        (("resnet_tl", "preprocessing", "std"), [0.0], r"preprocessing\.std\.0: .* be greater than 0, got 0\.0"),
        (("resnet_tl", "recipe", "model", "class_path"), 7, r"model\.class_path: .* string, got 7"),
        (("resnet_tl", "recipe", "model"), torch.zeros(1), r"resnet_tl holds more than text, numbers and lists"),
    ],
)  # fmt: skip
def test_what_does_not_follow_the_schema_is_named(tmp_path: Path, keys: tuple, value: Any, words: str) -> None:
    content = copy.deepcopy(checkpoint())
    parent = content
    for key in keys[:-1]:
        parent = parent[key]
    parent[keys[-1]] = value
    save_atomically(content, tmp_path / "a.ckpt")
    with pytest.raises(WeightsError, match=rf"a\.ckpt: not valid: [^\n]*{words}[^\n]*$"):
        read(tmp_path / "a.ckpt")


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    content = checkpoint()
    del content["epoch"]
    save_atomically(content, tmp_path / "a.ckpt")
    with pytest.raises(WeightsError, match=r"a\.ckpt: not valid: epoch: field required$"):
        read(tmp_path / "a.ckpt")
