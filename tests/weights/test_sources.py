"""Each kind of name leads to its file, each mistake to one sentence."""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

import resnet_tl
from resnet_tl.checkpoint import bundle
from resnet_tl.errors import WeightsError
from resnet_tl.models.resnet import resnet
from resnet_tl.structures.records import Preprocessing
from resnet_tl.weights import sources
from resnet_tl.weights.files import save_weights
from resnet_tl.weights.load import load_weights
from resnet_tl.weights.records import WeightRecord
from resnet_tl.weights.sources import fetch

from .conftest import equal

ODD = Preprocessing(mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6), size=40, interpolation="bicubic", crop=0.9)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("name", ["x.pth", "x.th", "x.pt", "x.tar", "x.safetensors", "old.pth"])
def test_files_of_any_kind(tmp_path: Path, small: dict[str, Tensor], name: str) -> None:
    path = tmp_path / name
    if path.suffix == ".safetensors":
        safetensors.torch.save_file({key: value.contiguous() for key, value in small.items()}, path)
    else:
        torch.save(small, path, _use_new_zipfile_serialization=name != "old.pth")
    for source in (str(path), path):
        content, record = fetch(source)
        assert equal(dict(content), small)
        assert record == WeightRecord(str(path), sha256(path))


def test_saved_files_contain_their_record(tmp_path: Path, small: dict[str, Tensor]) -> None:
    path = tmp_path / "ours.safetensors"
    save_weights(small, WeightRecord("?", None, ODD, True, ("cat", "dog"), "Apache-2.0", "91 % acc@1"), path)
    content, record = fetch(str(path))
    assert equal(dict(content), small)
    assert record == WeightRecord(str(path), sha256(path), ODD, True, ("cat", "dog"), "Apache-2.0", "91 % acc@1")


def run_folder(root: Path, small: dict[str, Tensor]) -> Path:
    state = {f"network.trunk.{key}": value for key, value in small.items()}
    state |= {"network.mean": torch.rand(3), "network.std": torch.rand(3)}
    state |= {"network.head.fc.weight": torch.rand(2, 32), "network.head.fc.bias": torch.rand(2)}
    checkpoint = {
        "state_dict": state,
        "raw": {key: value + 1 for key, value in state.items()},
        "resnet_tl": bundle({"class_path": "X", "init_args": {}}, ["cat", "dog"], ODD),
    }
    (root / "checkpoints").mkdir(parents=True)
    torch.save(checkpoint, root / "checkpoints" / "best.ckpt")
    return root


@pytest.mark.parametrize("name", ["", "checkpoints/best.ckpt"], ids=["folder", "file"])
def test_a_run_folder_and_its_checkpoint(tmp_path: Path, small: dict[str, Tensor], classified: Any, name: str) -> None:
    path = run_folder(tmp_path / "run", small) / name
    network = classified("resnet_tiny", 2)
    record, report = load_weights(network, str(path), keys=network.keys, classes=["dog", "cat"])
    assert equal(network.trunk.state_dict(), small)
    assert (record.preprocessing, record.classes) == (ODD, ("cat", "dog"))
    assert set(report.adapted) == {"fc.weight", "fc.bias"}
    assert (report.missing, report.unexpected) == ([], [])


@pytest.mark.parametrize("channels", [1, 4])
def test_stated_preprocessing_is_adapted_to_the_channels(tmp_path: Path, small: Any, channels: int) -> None:
    record, _ = load_weights(resnet("resnet_tiny", in_channels=channels), str(run_folder(tmp_path / "r", small)))
    expected = {1: ((0.2,), (0.5,)), 4: ((0.1, 0.2, 0.3, 0.1), (0.4, 0.5, 0.6, 0.4))}[channels]
    assert record.preprocessing.mean == pytest.approx(expected[0])
    assert record.preprocessing.std == pytest.approx(expected[1])
    assert record.preprocessing.size == 40


def test_builtin_names(tmp_path: Path, small: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "BUILTIN", tmp_path)
    save_weights(small, WeightRecord("?", preprocessing=ODD, stated=True), tmp_path / "tiny_odd.safetensors")
    assert sources.available_builtin() == ["tiny_odd"]
    assert fetch("builtin/tiny_odd")[1].source == "builtin/tiny_odd"
    assert fetch("builtin/tiny_odd")[1].preprocessing == ODD
    with pytest.raises(
        WeightsError, match=r"no weights 'builtin/tiny_od', only builtin/tiny_odd; did you mean 'tiny_odd'"
    ):
        fetch("builtin/tiny_od")
    with pytest.raises(WeightsError, match=r"no weights 'builtin/\.\./x'"):
        fetch("builtin/../x")


def test_every_builtin_file_has_a_complete_record() -> None:
    for name in sources.available_builtin():
        _, record = fetch(f"builtin/{name}")
        assert record.stated, name
        assert record.classes, name
        assert record.licence, name
        assert record.score, name
        assert (sources.BUILTIN / f"{name}.md").is_file(), name


def test_missing_weights_are_one_sentence(tmp_path: Path, small: dict[str, Tensor]) -> None:
    torch.save(small, tmp_path / "resnet.pth")
    with pytest.raises(WeightsError, match=r"no weights at '.*resnt\.pth'; expected .*did you mean '.*resnet\.pth'"):
        fetch(str(tmp_path / "resnt.pth"))
    with pytest.raises(WeightsError, match=r"expected checkpoints/best\.ckpt"):
        fetch(str(tmp_path))


def test_a_state_dict_is_no_name_of_weights(small: dict[str, Tensor]) -> None:
    with pytest.raises(WeightsError, match=r"^weights is a dict; expected a file or a name, .*`load_state_dict` loads"):
        resnet_tl.backbone("resnet_tiny", weights=small)  # type: ignore[arg-type]


def test_a_hash_is_checked(tmp_path: Path, small: dict[str, Tensor]) -> None:
    path = tmp_path / "x.pth"
    torch.save(small, path)
    assert fetch(str(path), sha256(path).upper())[1].sha256 == sha256(path)
    with pytest.raises(WeightsError, match=rf"x\.pth: has the sha256 {sha256(path)}, not 000"):
        fetch(str(path), "0" * 64)
    with pytest.raises(WeightsError, match="is 'abc'; expected 64 hex digits"):
        fetch(str(path), "abc")


# --- URLs, from a real server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Serves `tmp_path/served`; HTTP instead of HTTPS, which needs a certificate."""
    (tmp_path / "served").mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

    handler = functools.partial(Quiet, directory=str(tmp_path / "served"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "home"


def test_a_url_is_downloaded_once(tmp_path: Path, small: dict[str, Tensor], server: str, cache: Path) -> None:
    served = tmp_path / "served" / "x.pth"
    torch.save(small, served)
    digest = sha256(served)
    first = fetch(f"{server}/x.pth?download=true", digest)
    served.unlink()
    again = fetch(f"{server}/x.pth?download=true", digest)
    assert first[1] == again[1] == WeightRecord(f"{server}/x.pth?download=true", digest)
    assert equal(dict(again[0]), small)
    assert [path.name for path in cache.rglob("*") if path.is_file()] == ["x.pth"]


def test_a_url_with_another_hash_leaves_nothing(tmp_path: Path, small: Any, server: str, cache: Path) -> None:
    torch.save(small, tmp_path / "served" / "x.pth")
    with pytest.raises(WeightsError, match=r"^[^\n]*x\.pth: is not the expected file: [^\n]*$"):
        fetch(f"{server}/x.pth", "0" * 64)
    assert [path for path in cache.rglob("*") if path.is_file()] == []


def test_a_missing_url_is_one_sentence(server: str, cache: Path) -> None:
    with pytest.raises(WeightsError, match=r"/no\.pth: cannot be downloaded: [^\n]*404[^\n]*a copy can be placed at"):
        fetch(f"{server}/no.pth", "0" * 64)
    assert [path for path in cache.rglob("*") if path.is_file()] == []


def test_a_damaged_copy_in_the_cache_is_named(tmp_path: Path, small: Any, server: str, cache: Path) -> None:
    torch.save(small, tmp_path / "served" / "x.pth")
    digest = sha256(tmp_path / "served" / "x.pth")
    fetch(f"{server}/x.pth", digest)
    copy = next(path for path in cache.rglob("*") if path.is_file())
    copy.write_bytes(copy.read_bytes()[:1000])
    with pytest.raises(WeightsError, match=rf"{copy}: has the sha256 [^\n]* damaged"):
        fetch(f"{server}/x.pth", digest)


def test_a_url_needs_a_hash() -> None:
    with pytest.raises(WeightsError, match=r"https://example\.org/x\.pth: weights from a URL need their sha256"):
        fetch("https://example.org/x.pth")


# --- what is imported


def test_files_and_builtin_weights_import_neither_timm_nor_torchvision(tmp_path: Path, small: Any) -> None:
    save_weights(small, WeightRecord("?", preprocessing=ODD, stated=True), tmp_path / "x.safetensors")
    torch.save(small, tmp_path / "x.pth")
    script = f"""
import json, sys
from pathlib import Path
import resnet_tl
from resnet_tl.weights import sources
sources.BUILTIN = Path({str(tmp_path)!r})
for name in ({str(tmp_path / "x.pth")!r}, "builtin/x"):
    trunk = resnet_tl.backbone("resnet_tiny", name)
print(json.dumps([trunk.preprocessing.size, *sorted({{name.partition(".")[0] for name in sys.modules}})]))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    size, *modules = json.loads(done.stdout.splitlines()[-1])
    assert size == asdict(ODD)["size"]
    assert {"timm", "torchvision", "huggingface_hub", "lightning", "wandb"} & set(modules) == set()
