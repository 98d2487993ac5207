"""Which predictor a checkpoint gets, and what it needs for that."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import resnet_tl
from resnet_tl.errors import RecipeError, RunError, UserError, WeightsError
from resnet_tl.models.network import Backbone
from resnet_tl.prediction.classification import ClassPredictor
from resnet_tl.prediction.detection import BoxPredictor
from resnet_tl.prediction.load import load
from resnet_tl.prediction.members import read_network
from resnet_tl.prediction.segmentation import MaskPredictor
from resnet_tl.tasks.classification import Classification

CLASSES = ["ant", "bee", "cat"]
SAVED = Path(__file__).resolve().parents[1] / "fixtures" / "saved_2026_11"


@pytest.fixture
def saved(tmp_path: Path, untrained: Callable[..., Path]) -> Path:
    return untrained(tmp_path / "x.ckpt", Classification(CLASSES, Backbone(name="resnet_tiny")))


@pytest.mark.parametrize(
    ("name", "kind", "batch_size"),
    [
        ("half_run", ClassPredictor, 32),
        ("segmentation.ckpt", MaskPredictor, 1),
        ("detection.ckpt", BoxPredictor, 1),
    ],
)
def test_the_head_decides_on_the_predictor(name: str, kind: type[Any], batch_size: int) -> None:
    predictor = resnet_tl.load(str(SAVED / name))
    assert type(predictor) is kind
    assert predictor.batch_size == batch_size
    assert not predictor.network.training
    assert load(SAVED / name, batch_size=7).batch_size == 7
    with pytest.raises(RecipeError, match=r"^batch_size: 0; expected 1 or more$"):
        load(SAVED / name, batch_size=0)


def test_what_predicts_is_folded_and_computes_what_was_trained() -> None:
    network = load(SAVED / "half_run").trained
    assert not any(isinstance(part, nn.BatchNorm2d) for part in network.modules())
    trained = read_network(SAVED / "half_run", trust_code=False)[1].eval()
    assert any(isinstance(part, nn.BatchNorm2d) for part in trained.modules())
    images = torch.randint(0, 256, (2, 3, 40, 48), dtype=torch.uint8)
    with torch.no_grad():
        torch.testing.assert_close(network(images), trained(images), rtol=1e-4, atol=1e-5)


def test_a_detector_has_the_training_sets_category_ids_and_a_segmenter_its_colours() -> None:
    detector, segmenter = load(SAVED / "detection.ckpt"), load(SAVED / "segmentation.ckpt")
    assert isinstance(detector, BoxPredictor)
    assert isinstance(segmenter, MaskPredictor)
    assert len(detector.codes) == len(detector.classes)
    assert segmenter.colours.shape == (len(segmenter.classes), 3)


def test_no_such_device_is_one_sentence(saved: Path) -> None:
    for name in ("cuda:77", "gpu"):
        with pytest.raises(RunError, match=rf"^no device '{name}' here; there is cpu[^\n]*$"):
            load(saved, device=name)


FOREIGN = """
from pathlib import Path
Path(__file__).with_name("imported").touch()
import albumentations
from resnet_tl.models.heads.classification import LinearHead
from resnet_tl.models.resnet import ResNet, resnet

class Mine(LinearHead): pass
class Mirror(albumentations.HorizontalFlip): pass
def trunk(in_channels) -> ResNet: return resnet("resnet_tiny", in_channels=in_channels)
"""


@pytest.mark.parametrize("part", ["head", "trunk", "transform"])
def test_foreign_code_needs_trust(
    tmp_path: Path, photos: Path, untrained: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    name = f"foreign_{part}"
    (tmp_path / f"{name}.py").write_text(FOREIGN)
    monkeypatch.syspath_prepend(str(tmp_path))
    task = Classification(CLASSES, Backbone(name="resnet_tiny"))
    spec, transforms = task.spec(), None
    if part == "head":
        spec["init_args"]["head"]["class_path"] = f"{name}.Mine"
    elif part == "trunk":
        spec["init_args"]["backbone"]["name"] = f"{name}.trunk"
    else:
        resize = {"class_path": "Resize", "init_args": {"height": 24, "width": 24}}
        inner = {"class_path": f"{name}.Mirror", "init_args": {"p": 1.0}}
        transforms = [resize, {"class_path": "OneOf", "init_args": {"transforms": [inner], "p": 1.0}}]
    monkeypatch.setattr(task, "spec", lambda: spec)
    path = untrained(tmp_path / "x.ckpt", task, eval_transforms=transforms)
    with pytest.raises(WeightsError, match=rf"x\.ckpt: needs '{name}\.\w+', which is not part of resnet_tl[^\n]*$"):
        load(path)
    assert not (tmp_path / "imported").exists()
    assert len(load(path, trust_code=True).predict(photos)) == 24
    assert (tmp_path / "imported").exists()


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("name", "resnet50", r"trunk\.conv1\.weight has the shape \[8, 3, 7, 7\], expected \[64, 3, 7, 7\]"),
        ("in_channels", 10**9, r"backbone\.in_channels must be int in \[1, 65536\], got 1000000000"),
        ("colour", 7, r"unknown key 'colour' under backbone"),
    ],
)
def test_a_recipe_of_another_network_than_the_weights_builds_nothing(
    saved: Path, key: str, value: Any, words: str
) -> None:
    content = torch.load(saved, weights_only=True)
    content["resnet_tl"]["recipe"]["model"]["init_args"]["backbone"][key] = value
    torch.save(content, saved)
    with pytest.raises(UserError, match=rf"x\.ckpt: [^\n]*{words}[^\n]*$"):
        load(saved)


def test_names_for_another_number_of_outputs_are_refused(saved: Path) -> None:
    content = torch.load(saved, weights_only=True)
    content["resnet_tl"]["classes"] = ["ant", "bee"]
    torch.save(content, saved)
    with pytest.raises(WeightsError, match=r"head\.fc\.weight has the shape \[3, 32\], expected \[2, 32\]"):
        load(saved)
