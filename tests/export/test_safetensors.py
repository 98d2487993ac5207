"""Folders of weights and configuration, without a card."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import resnet_tl
from resnet_tl.errors import RunError
from resnet_tl.export.export import export
from resnet_tl.export.safetensors import write_folder
from resnet_tl.models.ensemble import ensemble
from resnet_tl.prediction.members import read_network

SAVED = Path(__file__).resolve().parents[1] / "fixtures" / "saved_2026_11"


def test_a_classifier_is_a_folder_for_this_project(tmp_path: Path) -> None:
    done = export(SAVED / "half_run", tmp_path / "birds", to="safetensors")
    assert {path.name for path in done.path.iterdir()} == {"model.safetensors", "rest.safetensors", "config.json"}
    assert done.agreement.differences["probability"] < 1e-7  # what is loaded is folded
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    ours, theirs = (resnet_tl.load(each).predict([image])[0] for each in (SAVED / "half_run", done.path))
    assert theirs.classes == ours.classes
    config = (done.path / "config.json").read_text()
    assert str(tmp_path) not in config


@pytest.mark.slow
def test_masks_are_a_folder(tmp_path: Path) -> None:
    done = export(SAVED / "segmentation.ckpt", tmp_path / "masks", to="safetensors")
    assert done.agreement.differences["pixels"] == 0.0
    assert done.agreement.differences["probability"] < 1e-7


def test_several_networks_are_refused(tmp_path: Path) -> None:
    bundle, network = read_network(SAVED / "half_run", trust_code=False)
    with pytest.raises(RunError, match="several networks have no configuration as one; export one fold"):
        write_folder(bundle, ensemble([network, network]), tmp_path, name="both")
