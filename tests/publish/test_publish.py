"""Published folders: they predict what their checkpoint does, here and in timm."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard

import resnet_tl
from resnet_tl import checkpoint
from resnet_tl.errors import RunError, WeightsError
from resnet_tl.prediction.members import read_network
from resnet_tl.publish.publish import Published, publish
from resnet_tl.weights.sources import fetch
from tests.publish.checkpoints import CLASSES, save_checkpoint

SAVED = Path(__file__).resolve().parents[1] / "fixtures" / "saved_2026_11"

IN_TIMM = """
import importlib.abc, sys
class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "resnet_tl":
            raise ImportError(name)
sys.meta_path.insert(0, Blocked())
import numpy, timm, torch
folder, images, logits = sys.argv[1:]
model = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
with torch.inference_mode():
    numpy.save(logits, model(torch.from_numpy(numpy.load(images))).numpy())
print(model.pretrained_cfg["label_names"], model.pretrained_cfg["mean"][0], "resnet_tl" in sys.modules)
"""


def test_timm_without_this_project_gives_equal_logits(published: tuple[Path, Published], tmp_path: Path) -> None:
    saved, done = published
    assert done.in_timm
    images = np.random.default_rng(0).normal(size=(3, 1, 96, 64)).astype(np.float32)
    np.save(tmp_path / "images.npy", images)
    words = [sys.executable, "-c", IN_TIMM, done.path, tmp_path / "images.npy", tmp_path / "logits.npy"]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    run = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
    assert run.returncode == 0, run.stderr
    _, network = read_network(saved, False)
    with torch.inference_mode():
        ours = network.eval().run(torch.from_numpy(images)).numpy()
    assert run.stdout.strip() == f"{CLASSES} {network.mean[0].item():.7g} False"
    assert ours.std() > 0.1
    np.testing.assert_allclose(np.load(tmp_path / "logits.npy"), ours, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["half_run", "segmentation.ckpt", "detection.ckpt"])
def test_every_task_loads_as_its_checkpoint(name: str, tmp_path: Path) -> None:
    done = publish(SAVED / name, tmp_path / "model")
    assert not done.in_timm
    (ours, network), (theirs, loaded) = read_network(SAVED / name, False), read_network(done.path, False)
    for field in ("classes", "preprocessing", "colours", "codes", "decisions", "eval_transforms", "epoch", "step"):
        assert getattr(theirs, field) == getattr(ours, field)
    torch.testing.assert_close(loaded.state_dict(), network.state_dict(), rtol=0, atol=0)
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    predictors = resnet_tl.load(SAVED / name), resnet_tl.load(done.path)
    one, other = (predictor.predict([image])[0] for predictor in predictors)
    assert type(one) is type(other)


def test_thresholds_of_labels_stay_with_the_network(tmp_path: Path) -> None:
    head = {"multi_label": True, "thresholds": [0.2, 0.4, 0.9], "class_weights": "auto"}
    saved = save_checkpoint(tmp_path / "best.ckpt", head, name="resnet10t")
    done = publish(saved, tmp_path / "model")
    assert done.in_timm
    (_, network), (_, loaded) = read_network(saved, False), read_network(done.path, False)
    torch.testing.assert_close(loaded.state_dict(), network.state_dict(), rtol=0, atol=0)


def test_nothing_of_this_machine_is_in_the_folder(published: tuple[Path, Published]) -> None:
    _, done = published
    assert sorted(path.name for path in done.path.iterdir()) == [
        "README.md", "config.json", "model.safetensors", "rest.safetensors",
    ]  # fmt: skip
    assert not [path for path in done.path.iterdir() if b"/home/me" in path.read_bytes()]


def test_training_can_start_from_the_folder(published: tuple[Path, Published]) -> None:
    saved, done = published
    content, record = fetch(str(done.path))
    assert record.classes == tuple(CLASSES)
    assert record.licence == "apache-2.0"
    assert "layer1.0.conv1.weight" in content
    assert record.preprocessing == checkpoint.read(saved).preprocessing


def test_the_card_is_valid_and_names_its_classes(published: tuple[Path, Published]) -> None:
    card = ModelCard.load(published[1].path / "README.md")
    assert card.data.license == "apache-2.0"
    assert card.data.library_name == "timm"
    assert "3 classes (ant, bee \\| wasp, \\*)" in card.text
    assert "None are recorded" in card.text


def test_a_folder_is_never_overwritten_and_appears_whole(published: tuple[Path, Published], tmp_path: Path) -> None:
    saved, done = published
    with pytest.raises(RunError, match="exists and is not overwritten"):
        publish(saved, done.path)
    with pytest.raises(RunError, match="--with-images: the validation images of this run are not where"):
        publish(saved, tmp_path / "model", with_images=True)
    assert not list(tmp_path.iterdir())


def test_damaged_folders_and_those_of_others_are_refused(published: tuple[Path, Published], tmp_path: Path) -> None:
    for path in published[1].path.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    weights = bytearray((tmp_path / "model.safetensors").read_bytes())
    weights[-5] ^= 1
    (tmp_path / "model.safetensors").write_bytes(weights)
    with pytest.raises(WeightsError, match="a published model, which can predict; expected the run"):
        checkpoint.read(tmp_path)
    with pytest.raises(WeightsError, match=r"model\.safetensors: damaged"):
        resnet_tl.load(tmp_path)
    (tmp_path / "rest.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"rest\.safetensors: missing; copy or download the whole folder$"):
        resnet_tl.load(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "resnet18"}))
    with pytest.raises(WeightsError, match="not written by `resnet-tl publish`"):
        resnet_tl.load(tmp_path)


def test_names_of_the_hub_have_one_form() -> None:
    with pytest.raises(WeightsError, match="hf://ants: not a model on the Hugging Face hub: expected hf://USER/NAME"):
        resnet_tl.load("hf://ants")
