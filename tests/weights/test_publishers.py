"""Names of torchvision and timm, with files of their models in the caches of their loaders."""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import timm
import torch
import torchvision
from timm.data import ImageNetInfo
from torch import Tensor

from resnet_tl.errors import WeightsError
from resnet_tl.models.resnet import resnet
from resnet_tl.structures.records import Preprocessing
from resnet_tl.weights.load import load_weights
from resnet_tl.weights.sources import fetch

from .conftest import equal, randomised

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


@pytest.fixture
def checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Returns the cache of torch.hub, and so of torchvision."""
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    return tmp_path / "hub" / "checkpoints"


Publish = Callable[[Any, dict[str, Tensor]], Path]


@pytest.fixture
def publish(checkpoints: Path, monkeypatch: pytest.MonkeyPatch) -> Publish:
    """`publish(weights, tensors)`: a file in the cache, as if torchvision had published it under its hash."""

    def publish(weights: Any, tensors: dict[str, Tensor]) -> Path:
        torch.save(tensors, checkpoints / "new")
        digest = hashlib.sha256((checkpoints / "new").read_bytes()).hexdigest()
        stem = Path(weights.url).stem.rpartition("-")[0]
        monkeypatch.setattr(weights.value, "url", f"https://download.pytorch.org/models/{stem}-{digest[:8]}.pth")
        return (checkpoints / "new").rename(checkpoints / f"{stem}-{digest[:8]}.pth")

    return publish


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Returns huggingface_hub's cache, without a network."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return tmp_path


def cached(hub: Path, name: str, **options: Any) -> Any:
    """Makes timm write a model into the cache, in huggingface_hub's layout."""
    model = randomised(timm.create_model(name))
    repository = hub / f"models--timm--{name}"
    timm.models.save_for_hf(model, str(repository / "snapshots" / "c0ffee"), **options)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("c0ffee")
    return model


def test_a_torchvision_name(publish: Publish) -> None:
    theirs = randomised(torchvision.models.resnet18())
    weights = torchvision.models.ResNet18_Weights.IMAGENET1K_V1
    file = publish(weights, theirs.state_dict())
    assert equal(weights.get_state_dict(), theirs.state_dict()), "not where torchvision's own loader looks"

    trunk = resnet("resnet18")
    record, report = load_weights(trunk, "torchvision/resnet18.IMAGENET1K_V1")
    assert equal(trunk.state_dict(), theirs.state_dict())
    assert record.source == "torchvision/resnet18.IMAGENET1K_V1"
    assert record.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert record.preprocessing == Preprocessing(**IMAGENET, size=224, interpolation="bilinear", crop=224 / 256)
    assert record.classes == tuple(weights.meta["categories"])
    assert (record.licence, record.score) == ("BSD-3-Clause", "69.758 % acc@1 on ImageNet-1K")
    assert "69.758 % acc@1 on ImageNet-1K; licence BSD-3-Clause" in str(report)
    assert fetch("torchvision/resnet18")[1] == record


def test_torchvisions_classifier_is_kept_for_its_classes(publish: Publish) -> None:
    theirs = randomised(torchvision.models.resnet18())
    publish(torchvision.models.ResNet18_Weights.IMAGENET1K_V1, theirs.state_dict())
    ours = torchvision.models.resnet18()
    names = torchvision.models.ResNet18_Weights.IMAGENET1K_V1.meta["categories"]
    load_weights(ours, "torchvision/resnet18", classes=names[::-1])
    assert torch.equal(ours.fc.weight, theirs.fc.weight.flip(0))
    assert torch.equal(ours.fc.bias, theirs.fc.bias.flip(0))


def test_a_damaged_file_of_a_publisher_is_named_by_the_hash_in_its_name(hub: Path, publish: Publish) -> None:
    file = publish(torchvision.models.ResNet18_Weights.IMAGENET1K_V1, resnet("resnet_tiny").state_dict())
    file.write_bytes(file.read_bytes() + b"\0")
    with pytest.raises(WeightsError, match=rf"^{file}: has the sha256 \w{{64}}, not {file.stem[-8:]}: it is another"):
        fetch("torchvision/resnet18")
    cached(hub, "resnet10t.c3_in1k", safe_serialization=True)
    link = next(hub.rglob("model.safetensors"))
    blob = link.parents[2] / "blobs" / hashlib.sha256(link.read_bytes()).hexdigest()
    blob.parent.mkdir()
    link.rename(blob)
    link.symlink_to(blob)
    for name in ("timm/resnet10t", str(link)):
        assert fetch(name)[1].sha256 == blob.name
    blob.write_bytes(blob.read_bytes() + b"\0")
    for name in ("timm/resnet10t", str(link)):
        with pytest.raises(
            WeightsError, match=rf"^{link}: has the sha256 \w{{64}}, not {blob.name}: it is another file"
        ):
            fetch(name)


def test_torchvisions_second_recipe_resizes_to_232(publish: Publish) -> None:
    publish(torchvision.models.ResNet50_Weights.IMAGENET1K_V2, {})
    record = fetch("torchvision/resnet50.IMAGENET1K_V2")[1]
    assert record.preprocessing.size / record.preprocessing.crop == pytest.approx(232)
    assert record.score == "80.858 % acc@1 on ImageNet-1K"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("torchvision/resnet5", "torchvision has no model 'resnet5'; did you mean 'resnet50'"),
        ("torchvision/resnet18.V1", "torchvision's resnet18 has no weights 'V1', only IMAGENET1K_V1"),
        ("timm/resnet5", "timm has no model 'resnet5'; did you mean 'resnet50'"),
        ("timm/resnet10t.a1_in1k", r"timm's resnet10t has no weights 'a1_in1k', only resnet10t\.c3_in1k"),
        ("timm/resnet10t.c3_in1k", r"timm/resnet10t\.c3_in1k: cannot be fetched from the Hugging Face hub: "),
    ],
)
def test_missing_weights_are_one_sentence(hub: Path, name: str, words: str) -> None:
    with pytest.raises(WeightsError, match=f"^{words}[^\n]*$"):
        fetch(name)


def test_without_the_hub_a_copy_can_be_named(hub: Path) -> None:
    with pytest.raises(WeightsError) as refused:
        fetch("timm/resnet10t.c3_in1k")
    place = f"a copy on this machine can be named by its path, an earlier download is looked for in {hub}"
    assert str(refused.value).endswith(f"; {place}, and builtin/... needs no network")
    assert "local cache" not in str(refused.value)


def test_no_network_is_one_sentence(checkpoints: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for proxy in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(proxy, "http://127.0.0.1:9")  # the discard port: refuses at once
    monkeypatch.setattr(urllib.request, "_opener", None)  # urllib keeps the proxies of the first download
    words = r"resnet18-f37072fd\.pth: cannot be downloaded: [^\n]*refused[^\n]*can be placed at [^\n]*\.pth$"
    with pytest.raises(WeightsError, match=words):
        fetch("torchvision/resnet18")
    assert list(checkpoints.iterdir()) == []


@pytest.mark.parametrize("safe", [True, False], ids=["safetensors", "bin"])
@pytest.mark.parametrize("name", ["timm/resnet10t.c3_in1k", "timm/resnet10t"])
def test_a_timm_name(hub: Path, name: str, safe: bool) -> None:
    theirs = cached(hub, "resnet10t.c3_in1k", safe_serialization=safe)
    trunk = resnet("resnet10t")
    record, report = load_weights(trunk, name)
    assert equal(trunk.state_dict(), theirs.state_dict())
    assert (report.share, set(report.skipped)) == (1, {"fc.weight", "fc.bias"})
    cfg = timm.get_pretrained_cfg("resnet10t.c3_in1k")
    assert record.preprocessing == Preprocessing(
        mean=cfg.mean, std=cfg.std, size=cfg.input_size[-1], interpolation=cfg.interpolation, crop=cfg.crop_pct
    )
    assert (record.source, record.licence) == ("timm/resnet10t.c3_in1k", cfg.license)
    assert record.classes == tuple(ImageNetInfo().label_names())
    file = next(hub.rglob("model.safetensors" if safe else "pytorch_model.bin"))
    assert record.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()


def test_timms_classifier_is_kept_for_the_folders_of_imagenet(hub: Path, classified: Any) -> None:
    theirs = cached(hub, "resnet10t.c3_in1k", safe_serialization=True)
    network = classified("resnet10t", 1000)
    _, report = load_weights(network, "timm/resnet10t", keys=network.keys, classes=sorted(ImageNetInfo().label_names()))
    assert torch.equal(network.head.fc.weight, theirs.fc.weight)
    assert report.skipped == {}


@pytest.mark.parametrize("names", [["ant", "bee"], {"0": "ant", "1": "bee"}, None], ids=["list", "index", "none"])
@pytest.mark.parametrize("file", ["", "model.safetensors"], ids=["folder", "file"])
def test_a_local_copy_in_timms_layout(tmp_path: Path, classified: Any, names: Any, file: str) -> None:
    theirs = randomised(timm.create_model("resnet10t", num_classes=2))
    theirs.pretrained_cfg |= {"mean": (0.1, 0.2, 0.3), "input_size": (3, 96, 96), "crop_pct": 0.9, "license": "mit"}
    config = {} if names is None else {"label_names": names}
    timm.models.save_for_hf(theirs, str(tmp_path), model_config=config, safe_serialization=True)
    network = classified("resnet10t", 2)
    record, report = load_weights(network, str(tmp_path / file), keys=network.keys, classes=["bee", "ant"])
    assert equal(network.trunk.state_dict(), theirs.state_dict())
    assert record.preprocessing == Preprocessing((0.1, 0.2, 0.3), IMAGENET["std"], 96, "bicubic", 0.9)
    assert record.licence == "mit"
    if names is None:
        assert set(report.skipped) == {"fc.weight", "fc.bias"}
    else:
        assert torch.equal(network.head.fc.weight, theirs.fc.weight.flip(0))


def test_an_older_flat_config_is_read(tmp_path: Path, small: Any) -> None:
    torch.save(small, tmp_path / "pytorch_model.bin")
    facts = {"architecture": "x", "input_size": [3, 64, 64], "interpolation": "bicubic", "crop_pct": 1.0}
    (tmp_path / "config.json").write_text(json.dumps({**facts, "mean": [0.5] * 3, "std": [0.25] * 3}))
    assert fetch(str(tmp_path))[1].preprocessing == Preprocessing((0.5,) * 3, (0.25,) * 3, 64, "bicubic", 1.0)


def test_another_kind_of_config_is_ignored(tmp_path: Path, small: Any) -> None:
    torch.save(small, tmp_path / "x.pth")
    (tmp_path / "config.json").write_text('{"model_type": "resnet"}')
    assert not fetch(str(tmp_path / "x.pth"))[1].stated
    for broken in ("{", "[]"):
        (tmp_path / "config.json").write_text(broken)
        with pytest.raises(WeightsError, match=r"config\.json: [^\n]*$"):
            fetch(str(tmp_path / "x.pth"))


class Hub(http.server.SimpleHTTPRequestHandler):
    """Serves a file as the hub does."""

    def translate_path(self, path: str) -> str:
        return str(Path(self.directory) / path.rpartition("/")[2])

    def end_headers(self) -> None:
        file = Path(self.translate_path(self.path))
        self.send_header("X-Repo-Commit", "c0ffee" * 6 + "beef")
        self.send_header(
            "X-Error-Code" if not file.exists() else "ETag", "EntryNotFound" if not file.exists() else '"1"'
        )
        super().end_headers()

    def log_message(self, *_: object) -> None: ...


def test_timms_file_is_downloaded_by_huggingface_hub(tmp_path: Path) -> None:
    """Uses a server that only has the older form, in a new process, since the hub's address is read on import."""
    theirs = randomised(timm.create_model("resnet10t"))
    timm.models.save_for_hf(theirs, str(tmp_path / "served"), safe_serialization=False)
    script = f"""
import torch, resnet_tl
trunk = resnet_tl.backbone("resnet10t", "timm/resnet10t.c3_in1k")
torch.save(trunk.state_dict(), {str(tmp_path / "ours.pth")!r})
"""
    handler = functools.partial(Hub, directory=str(tmp_path / "served"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        address = {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HOME": str(tmp_path / "home")}
        env = {**os.environ, **address, "no_proxy": "127.0.0.1", "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=env, check=False)
        server.shutdown()
        thread.join()
    assert done.returncode == 0, done.stderr
    assert equal(torch.load(tmp_path / "ours.pth", weights_only=True), theirs.state_dict())
