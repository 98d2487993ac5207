"""All of a trunk is filled from a file of another's making, or nothing; and every tensor is accounted for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn

import resnet_tl
from resnet_tl.errors import WeightsError
from resnet_tl.models.resnet import resnet
from resnet_tl.structures.records import Preprocessing
from resnet_tl.weights.load import load_weights

from .conftest import equal, shaken

SOME_VARIANTS = ("resnet18", "resnet34", "resnet50", "resnet_tiny", "resnet20_cifar", "resnet56_cifar")


def some_variants() -> Iterator[tuple[str, dict[str, tuple[int, ...]]]]:
    """As `shapes_by_variant`, which takes seconds for all of them."""
    for name in SOME_VARIANTS:
        with torch.device("meta"):
            yield name, {key: tuple(value.shape) for key, value in resnet(name).state_dict().items()}


def saved(content: Any, path: Path) -> str:
    torch.save(content, path)
    return str(path)


def test_torchvisions_own_file_fills_our_trunk(tmp_path: Path) -> None:
    theirs = shaken(torchvision.models.resnet18())
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
def test_published_cifar_nets_load_whole(shared_data: Path, name: str) -> None:
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


def test_another_network_is_refused_with_its_percentage_and_the_nearest(shared_data: Path) -> None:
    file = shared_data / "weights" / "efficientnet_lite0_in1k_fp16.pth"
    trunk = shaken(resnet("resnet18"))
    before = {key: value.clone() for key, value in trunk.state_dict().items()}
    with pytest.raises(WeightsError, match=r"efficientnet_lite0_in1k_fp16\.pth fills 0 % of resnet18 .*best: resnet"):
        load_weights(trunk, str(file), candidates=some_variants)
    assert equal(trunk.state_dict(), before)


@pytest.mark.parametrize(
    ("file", "asked", "words"),
    [
        ("resnet34", "resnet50", r"fills \d\d % of resnet50 \(.* is \[.*\], not \[.*\].*it fits resnet34 to 100 %"),
        ("resnet34", "resnet18", r"fills all of resnet18 but holds 48 tensors more .*it fits resnet34 to 100 %"),
        ("resnet18", "resnet34", r"fills 5\d % of resnet34 \(without layer1\.2\..*it fits resnet18 to 100 %"),
        (
            "wide_resnet50_2",
            "resnet50",
            r"fills \d\d % of resnet50 \(layer1.0.conv1.weight is \[128, 64, 1, 1\], not \[64",
        ),
    ],
)
def test_a_relative_is_refused_too(tmp_path: Path, file: str, asked: str, words: str) -> None:
    with torch.device("meta"):
        theirs = getattr(torchvision.models, file)()
    content = {key: torch.zeros(value.shape, dtype=torch.int8) for key, value in theirs.state_dict().items()}
    with pytest.raises(WeightsError, match=words) as refusal:
        load_weights(resnet(asked), saved(content, tmp_path / f"{file}.pth"), candidates=some_variants)
    assert "\n" not in str(refusal.value)


def test_a_tensor_short_is_refused_and_named(tmp_path: Path, small: dict[str, Tensor]) -> None:
    del small["layer2.0.bn1.weight"]
    with pytest.raises(
        WeightsError, match=r"fills 9\d % of resnet_tiny \(without layer2.0.bn1.weight\); no other variant"
    ):
        load_weights(resnet("resnet_tiny"), saved(small, tmp_path / "x.pth"), candidates=some_variants)


def test_without_candidates_the_sentence_ends_earlier(tmp_path: Path, small: dict[str, Tensor]) -> None:
    small["layer2.0.bn1.weight"] = torch.ones(7)
    with pytest.raises(WeightsError, match=r"of the network \(layer2.0.bn1.weight is \[7\], not \[16\]\)$"):
        load_weights(resnet("resnet_tiny"), saved(small, tmp_path / "x.pth"))


def test_a_trunk_with_fewer_levels_leaves_the_deep_stages_out(tmp_path: Path, small: dict[str, Tensor]) -> None:
    trunk = resnet("resnet_tiny", levels=("c3",))
    _, report = load_weights(trunk, saved(small, tmp_path / "x.pth"))
    assert equal(trunk.state_dict(), small)
    assert {key.partition(".")[0] for key in report.unexpected} == {"layer3", "layer4"}


@pytest.mark.parametrize("norm", ["frozen", "group"])
def test_other_norms_take_what_they_have(tmp_path: Path, small: dict[str, Tensor], norm: str) -> None:
    trunk = resnet("resnet_tiny", norm=norm)
    _, report = load_weights(trunk, saved(small, tmp_path / "x.pth"))
    assert equal(trunk.state_dict(), small)
    assert {key.rpartition(".")[2] for key in report.unexpected} == (
        set() if norm == "frozen" else {"running_mean", "running_var", "num_batches_tracked"}
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_cast_and_said(tmp_path: Path, small: dict[str, Tensor], dtype: torch.dtype) -> None:
    content = {key: value.to(dtype) if value.is_floating_point() else value for key, value in small.items()}
    trunk = resnet("resnet_tiny")
    _, report = load_weights(trunk, saved(content, tmp_path / "x.pth"))
    assert {value.dtype for value in trunk.state_dict().values()} == {torch.float32, torch.int64}
    for key, value in trunk.state_dict().items():
        assert torch.equal(value, content[key].to(value.dtype))
    assert f"in {str(dtype).removeprefix('torch.')}" in str(report)


def test_files_without_counters_are_whole(tmp_path: Path, small: dict[str, Tensor]) -> None:
    content = {key: value for key, value in small.items() if "num_batches_tracked" not in key}
    _, report = load_weights(resnet("resnet_tiny"), saved(content, tmp_path / "x.pth"))
    assert report.share == 1
    assert "missing" not in str(report)


@pytest.mark.parametrize("channels", [1, 4, 6])
@pytest.mark.parametrize("name", ["resnet18", "resnet10t"])
def test_other_channels_keep_the_response_to_grey(tmp_path: Path, name: str, channels: int) -> None:
    rgb = shaken(resnet(name))
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
    monkeypatch.setattr(logging.getLogger("resnet_tl"), "propagate", True)  # whatever a run before has set
    caplog.set_level("INFO", "resnet_tl")
    trunk = resnet_tl.backbone("resnet_tiny", saved({"model": small}, tmp_path / "x.pth"), in_channels=1)
    assert trunk.preprocessing.mean == pytest.approx((0.449,))
    assert "x.pth (under 'model'; preprocessing not stated" in caplog.text
    assert "  adapted: conv1.weight: from 3 to 1 input channels" in caplog.text


def test_loading_changes_the_network_alone(tmp_path: Path, small: dict[str, Tensor]) -> None:
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


def test_parameters_stay_themselves_and_channels_last(tmp_path: Path, small: dict[str, Tensor]) -> None:
    """An optimizer or compiled network that holds them stays right."""
    trunk = resnet("resnet_tiny")
    before = list(trunk.parameters())
    load_weights(trunk, saved(small, tmp_path / "x.pth"))
    assert all(new is old for new, old in zip(trunk.parameters(), before, strict=True))
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in trunk.parameters() if p.ndim == 4)
