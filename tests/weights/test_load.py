"""A trunk is filled completely from foreign files or not at all, and every tensor is accounted for."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn

import resnet_tl
from resnet_tl.models.resnet import resnet
from resnet_tl.structures.records import Preprocessing
from resnet_tl.weights.load import load_weights

from .conftest import equal, randomised, saved, some_variants


def test_a_torchvision_file_fills_the_trunk(tmp_path: Path) -> None:
    theirs = randomised(torchvision.models.resnet18())
    trunk = resnet("resnet18")
    record, report = load_weights(trunk, saved(theirs.state_dict(), tmp_path / "r.pth"))
    assert equal(trunk.state_dict(), theirs.state_dict())
    assert report.share == 1
    assert set(report.loaded) == set(trunk.state_dict())
    assert set(report.skipped) == {"fc.weight", "fc.bias"}
    assert (report.adapted, report.missing, report.unexpected) == ({}, [], [])
    assert len(record.sha256 or "") == 64
    assert record.preprocessing == trunk.preprocessing
    with torch.no_grad():
        x = torch.rand(2, 3, 64, 64)
        pooled = trunk.eval()(x)["c5"].mean((2, 3))
        torch.testing.assert_close(theirs.fc(pooled), theirs(x))


@pytest.mark.parametrize("name", ["resnet20", "resnet56"])
def test_published_cifar_nets_load_completely(shared_data: Path, name: str) -> None:
    file = next((shared_data / "weights").glob(f"{name}-*.th"))
    trunk = resnet(f"{name}_cifar")
    record, report = load_weights(trunk, str(file), candidates=some_variants)
    theirs = torch.load(file, map_location="cpu", weights_only=True)["state_dict"]
    floats = {key: value for key, value in trunk.state_dict().items() if "num_batches" not in key}
    assert equal(floats, theirs, "module.")
    assert set(report.skipped) == {"fc.weight", "fc.bias"}
    assert (report.share, report.unexpected) == (1, [])
    assert record.preprocessing == Preprocessing(size=32, crop=1.0)
    assert str(record.sha256).startswith(file.stem.partition("-")[2])


def test_published_cifar_classifiers_load_on_request(shared_data: Path, classified: Callable[..., Any]) -> None:
    file = next((shared_data / "weights").glob("resnet20-*.th"))
    network = classified("resnet20_cifar", 10)
    load_weights(network, str(file), keys=network.keys, keep_classifier=True)
    theirs = torch.load(file, map_location="cpu", weights_only=True)["state_dict"]
    assert torch.equal(network.head.fc.weight, theirs["module.linear.weight"])
    assert torch.equal(network.head.fc.bias, theirs["module.linear.bias"])


def test_a_trunk_with_fewer_levels_skips_the_deep_stages(tmp_path: Path, small: dict[str, Tensor]) -> None:
    trunk = resnet("resnet_tiny", levels=("c3",))
    _, report = load_weights(trunk, saved(small, tmp_path / "x.pth"))
    assert equal(trunk.state_dict(), small)
    assert {key.partition(".")[0] for key in report.unexpected} == {"layer3", "layer4"}


@pytest.mark.parametrize("norm", ["frozen", "group"])
def test_other_norms_load_the_tensors_that_they_have(tmp_path: Path, small: dict[str, Tensor], norm: str) -> None:
    trunk = resnet("resnet_tiny", norm=norm)
    _, report = load_weights(trunk, saved(small, tmp_path / "x.pth"))
    assert equal(trunk.state_dict(), small)
    assert {key.rpartition(".")[2] for key in report.unexpected} == (
        set() if norm == "frozen" else {"running_mean", "running_var", "num_batches_tracked"}
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_cast_and_reported(tmp_path: Path, small: dict[str, Tensor], dtype: torch.dtype) -> None:
    content = {key: value.to(dtype) if value.is_floating_point() else value for key, value in small.items()}
    trunk = resnet("resnet_tiny")
    _, report = load_weights(trunk, saved(content, tmp_path / "x.pth"))
    assert {value.dtype for value in trunk.state_dict().values()} == {torch.float32, torch.int64}
    for key, value in trunk.state_dict().items():
        assert torch.equal(value, content[key].to(value.dtype))
    assert f"in {str(dtype).removeprefix('torch.')}" in str(report)


def test_files_without_counters_are_complete(tmp_path: Path, small: dict[str, Tensor]) -> None:
    content = {key: value for key, value in small.items() if "num_batches_tracked" not in key}
    _, report = load_weights(resnet("resnet_tiny"), saved(content, tmp_path / "x.pth"))
    assert report.share == 1
    assert "missing" not in str(report)


@pytest.mark.parametrize("channels", [1, 4, 6])
@pytest.mark.parametrize("name", ["resnet18", "resnet10t"])
def test_other_channels_keep_the_response_to_grey(tmp_path: Path, name: str, channels: int) -> None:
    rgb = randomised(resnet(name))
    trunk = resnet(name, in_channels=channels).eval()
    record, report = load_weights(trunk, saved(rgb.state_dict(), tmp_path / "x.pth"))
    assert list(report.adapted.values()) == [f"from 3 to {channels} input channels"]
    assert len(record.preprocessing.mean) == len(record.preprocessing.std) == channels
    grey = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        before, after = (net(grey.expand(-1, count, -1, -1)) for net, count in ((rgb, 3), (trunk, channels)))
    for level in before:
        torch.testing.assert_close(after[level], before[level], rtol=1e-4, atol=1e-5)


def test_a_backbone_in_one_call(
    tmp_path: Path, small: dict[str, Tensor], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("resnet_tl"), "propagate", True)  # in case an earlier run has changed it
    caplog.set_level("INFO", "resnet_tl")
    trunk = resnet_tl.backbone("resnet_tiny", saved({"model": small}, tmp_path / "x.pth"), in_channels=1)
    assert trunk.preprocessing.mean == pytest.approx((0.449,))
    assert "x.pth (under 'model'; preprocessing not stated" in caplog.text
    assert "  adapted: conv1.weight: from 3 to 1 input channels" in caplog.text


def test_loading_does_not_change_the_file(tmp_path: Path, small: dict[str, Tensor]) -> None:
    """The file's tensors are mapped, not read: training must not write through to them."""
    path = saved({"state_dict": small}, tmp_path / "x.pth")
    bytes_before = Path(path).read_bytes()
    trunk = resnet("resnet_tiny")
    load_weights(trunk, path)
    for parameter in trunk.parameters():
        nn.init.zeros_(parameter)
    assert Path(path).read_bytes() == bytes_before
    load_weights(trunk, path)
    assert equal(trunk.state_dict(), small)


def test_parameters_stay_the_same_objects_and_channels_last(tmp_path: Path, small: dict[str, Tensor]) -> None:
    """An optimizer or compiled network that holds them stays valid."""
    trunk = resnet("resnet_tiny")
    before = list(trunk.parameters())
    load_weights(trunk, saved(small, tmp_path / "x.pth"))
    assert all(new is old for new, old in zip(trunk.parameters(), before, strict=True))
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in trunk.parameters() if p.ndim == 4)
