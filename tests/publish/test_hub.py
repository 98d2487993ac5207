"""Models go to the Hugging Face hub and come back, by the real client and a hub on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pytest
import timm
import torch
from huggingface_hub import HfApi

import resnet_tl
from resnet_tl.errors import RunError, WeightsError
from resnet_tl.prediction.classification import ClassPredictor
from resnet_tl.publish.hub import push
from resnet_tl.publish.publish import Published, publish
from resnet_tl.weights.sources import fetch
from tests.publish.checkpoints import CLASSES
from tests.publish.hub_server import Hub, hub

MODEL = "me/ants"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with hub() as started:
        for name, value in {
            "ENDPOINT": started.address,
            "HUGGINGFACE_CO_URL_TEMPLATE": f"{started.address}/{{repo_id}}/resolve/{{revision}}/{{filename}}",
            "HF_HUB_CACHE": str(tmp_path / "cache"),
            "HF_HUB_DISABLE_XET": True,
        }.items():
            monkeypatch.setattr(huggingface_hub.constants, name, value)
        yield started


@pytest.fixture
def api(server: Hub) -> HfApi:
    return HfApi(endpoint=server.address, token=server.token)


def test_a_pushed_folder_loads_by_its_name(published: tuple[Path, Published], server: Hub, api: HfApi) -> None:
    folder = published[1].path
    assert push(folder, f"hf://{MODEL}", api) == f"{server.address}/{MODEL}"
    assert server.visibility == {MODEL: "private"}
    assert {name: server.files[f"{MODEL}/{name}"] for name in server.names(MODEL)} == {
        path.name: path.read_bytes() for path in folder.iterdir()
    }
    predictor = resnet_tl.load(f"hf://{MODEL}")
    assert isinstance(predictor, ClassPredictor)
    assert predictor.classes == CLASSES
    images = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 1, 64, 64)).astype(np.float32))
    peer = timm.create_model(f"hf-hub:{MODEL}", pretrained=True).eval()
    with torch.inference_mode():
        torch.testing.assert_close(peer(images), predictor.trained.run(images), rtol=1e-4, atol=1e-4)
    content, record = fetch(f"hf://{MODEL}")
    assert "fc.weight" in content
    assert (record.source, record.classes, record.licence) == (f"hf://{MODEL}", tuple(CLASSES), "apache-2.0")


def test_a_second_push_replaces_the_files(published: tuple[Path, Published], server: Hub, api: HfApi) -> None:
    push(published[1].path, MODEL, api)
    server.files[f"{MODEL}/README.md"] = b"old"
    push(published[1].path, MODEL, api)
    assert server.files[f"{MODEL}/README.md"].startswith(b"---")


def test_refusals_are_one_sentence(published: tuple[Path, Published], server: Hub, tmp_path: Path) -> None:
    folder, stranger = published[1].path, HfApi(endpoint=server.address, token="hf_wrong")
    with pytest.raises(
        RunError, match=r"me/ants: cannot be pushed .*401 Unauthorized.*; the model is in .*ants"
    ) as error:
        push(folder, MODEL, stranger)
    assert "hf auth login" in str(error.value)
    assert "\n" not in str(error.value)
    with pytest.raises(WeightsError, match="expected hf://USER/NAME"):
        push(folder, "ants", stranger)
    with pytest.raises(WeightsError, match=r"me/none: .*hub has no such model, or it is private: hf auth login"):
        resnet_tl.load("hf://me/none")
    with pytest.raises(WeightsError, match=r"me/none: .*hub has no such model, or it is private: hf auth login"):
        fetch("hf://me/none")


def test_a_licence_that_the_hub_does_not_know_is_named(
    published: tuple[Path, Published], api: HfApi, tmp_path: Path
) -> None:
    done = publish(published[0], tmp_path / "model", licence="mine")
    with pytest.raises(RunError, match=r'Invalid metadata in README.md. - "license" must be one of'):
        push(done.path, MODEL, api)


def test_a_hub_that_is_away_is_named(published: tuple[Path, Published], tmp_path: Path) -> None:
    with hub() as gone:
        pass
    with pytest.raises(RunError, match=r"me/ants: cannot be pushed to the Hugging Face hub: .*the model is in"):
        push(published[1].path, MODEL, HfApi(endpoint=gone.address, token="hf_mine"))
