"""The contract of a trunk: levels, stages, options, layouts. Equality with other libraries: test_resnet_peers.py."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_tl.errors import RecipeError
from resnet_tl.models.resnet import resnet, shapes_by_variant
from resnet_tl.models.variants import VARIANTS

ONE_OF_A_KIND = ["resnet_tiny", "resnet10t", "resnet14t", "seresnet18", "resnet20_cifar"]


DILATED = [
    pytest.param(name, stride, marks=[] if name in ONE_OF_A_KIND else pytest.mark.slow)
    for name in VARIANTS
    if "cifar" not in name
    for stride in (16, 8)
]


@pytest.mark.parametrize(
    ("name", "output_stride"),
    [
        *((name, 32) for name in VARIANTS if name != "resnet1202_cifar"),
        pytest.param("resnet1202_cifar", 32, marks=pytest.mark.slow),
        *DILATED,
    ],
)
def test_feature_info_describes_the_maps(name: str, output_stride: int) -> None:
    with torch.device("meta"):
        trunk = resnet(name, output_stride=output_stride)
        maps = trunk(torch.empty(2, 3, 97, 64))
    assert list(maps) == [level.name for level in trunk.feature_info]
    assert all(level.stride <= output_stride for level in trunk.feature_info)
    assert {level.name: expected_shape(level.channels, level.stride, 97, 64) for level in trunk.feature_info} == {
        level: tuple(value.shape[1:]) for level, value in maps.items()
    }


@settings(max_examples=30, deadline=None)
@given(
    name=st.sampled_from(ONE_OF_A_KIND),
    in_channels=st.integers(1, 13),
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    output_stride=st.sampled_from([8, 16, 32]),
)
def test_any_size_and_any_channels(name: str, in_channels: int, height: int, width: int, output_stride: int) -> None:
    trunk = resnet(name, in_channels=in_channels, output_stride=output_stride).eval()
    with torch.no_grad():
        maps = trunk(torch.randn(1, in_channels, height, width))
    for level in trunk.feature_info:
        assert tuple(maps[level.name].shape[1:]) == expected_shape(level.channels, level.stride, height, width)
        assert maps[level.name].isfinite().all()


def expected_shape(channels: int, stride: int, height: int, width: int) -> tuple[int, int, int]:
    return channels, math.ceil(height / stride), math.ceil(width / stride)


@pytest.mark.parametrize("in_channels", [1, 2, 3, 4])
@pytest.mark.parametrize("name", ONE_OF_A_KIND)
def test_maps_are_channels_last(name: str, in_channels: int) -> None:
    trunk = resnet(name, in_channels=in_channels)
    maps = trunk(torch.randn(2, in_channels, 33, 40))
    assert all(value.is_contiguous(memory_format=torch.channels_last) for value in maps.values())


@pytest.mark.parametrize("name", ["resnet_tiny", "resnet20_cifar"])
def test_levels_choose_what_is_built_and_returned(name: str) -> None:
    trunk = resnet(name, levels=("c3", "c2"))
    assert [level.name for level in trunk.feature_info] == ["c2", "c3"]
    assert list(trunk.stages()) == ["stem", "layer1", "layer2"]
    assert not hasattr(trunk, "layer3")
    x = torch.randn(2, 3, 32, 32)
    assert list(trunk(x)) == ["c2", "c3"]
    assert list(trunk(x, levels=("c1",))) == list(trunk(x, levels="c1")) == ["c1"]
    sum(value.sum() for value in trunk(x).values()).backward()
    assert all(parameter.grad is not None for parameter in trunk.parameters())


def test_a_single_level_needs_no_list() -> None:
    assert [level.name for level in resnet("resnet_tiny", levels="c3").feature_info] == ["c3"]


def test_nothing_deeper_is_computed() -> None:
    trunk = resnet("resnet_tiny")
    ran: list[str] = []
    for name, module in trunk.named_children():
        module.register_forward_hook(lambda *_, name=name: ran.append(name))
    assert list(trunk(torch.randn(2, 3, 32, 32), levels=["c3", "c1"])) == ["c1", "c3"]
    assert ran == ["conv1", "bn1", "maxpool", "layer1", "layer2"]


@pytest.mark.parametrize("name", ONE_OF_A_KIND)
def test_resumes_after_any_stage(name: str) -> None:
    trunk = resnet(name).eval()
    whole = trunk(torch.randn(2, 3, 40, 40))
    names = list(whole)
    for number, (stage, level) in enumerate(zip(trunk.stages(), names, strict=True)):
        behind = trunk(whole[level], after=stage)
        assert list(behind) == names[number + 1 :]
        assert all(torch.equal(value, whole[key]) for key, value in behind.items())
    assert list(trunk(whole["c2"], levels=["c1", "c4"], after="layer1")) == ["c4"]


@pytest.mark.parametrize("name", ONE_OF_A_KIND)
def test_stages_hold_every_parameter_once_from_input_to_output(name: str) -> None:
    trunk = resnet(name)
    assert list(trunk.stages()) == ["stem", "layer1", "layer2", "layer3", "layer4"][: len(trunk.feature_info)]
    held = [id(p) for modules in trunk.stages().values() for module in modules for p in module.parameters()]
    assert sorted(held) == sorted(id(parameter) for parameter in trunk.parameters())


def test_shapes_by_variant_equal_those_of_built_trunks() -> None:
    shapes = dict(shapes_by_variant())
    assert list(shapes) == list(VARIANTS)
    for name in (
        "resnet10t",
        "resnet18",
        "resnet50d",
        "resnext50_32x4d",
        "seresnet34",
        "resnet56_cifar",
        "resnet_tiny",
    ):
        with torch.device("meta"):
            trunk = resnet(name)
        assert shapes[name] == {key: tuple(value.shape) for key, value in trunk.state_dict().items()}


@pytest.mark.parametrize("file", ["resnet20-12fca82f.th", "resnet56-4bfd9763.th"])
def test_published_cifar_weights_fit(shared_data: Path, file: str) -> None:
    state = torch.load(shared_data / "weights" / file, weights_only=True, map_location="cpu")["state_dict"]
    ours = {key.removeprefix("module."): value for key, value in state.items() if "linear" not in key}
    resnet(f"{file.split('-')[0]}_cifar").load_state_dict(ours)


def test_convolutions_are_initialised_as_in_he_et_al() -> None:
    conv = resnet("resnet50").layer3[0].conv2
    assert conv.weight.std().item() == pytest.approx(math.sqrt(2 / (256 * 9)), rel=0.01)
    assert conv.weight.mean().item() == pytest.approx(0, abs=2e-4)  # five standard errors


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"name": "resnet5O"}, "there is no ResNet variant 'resnet5O'; did you mean 'resnet50'?"),
        ({"output_stride": 4}, "backbone.output_stride must be one of 8, 16, 32, got 4"),
        ({"norm": "layer"}, "backbone.norm must be one of 'batch', 'frozen', 'group', got 'layer'"),
        ({"drop_path": 1.0}, "backbone.drop_path must be float in [0, 1), got 1.0"),
        ({"checkpoint_segments": -1}, "backbone.checkpoint_segments must be int >= 0, got -1"),
        ({"in_channels": 3.0}, "backbone.in_channels must be int in [1, 65536], got 3.0"),
        ({"levels": ["c6"]}, "there is no level 'c6' in this network; it has c1 c2 c3 c4 c5"),
        ({"levels": []}, "levels is empty; name at least one of c1 c2 c3 c4 c5"),
    ],
)
def test_invalid_options_are_one_sentence(options: dict[str, object], sentence: str) -> None:
    with pytest.raises(RecipeError) as error:
        resnet(**{"name": "resnet_tiny", **options})
    assert str(error.value) == sentence


def test_a_level_that_was_not_built_is_an_error() -> None:
    with pytest.raises(RecipeError, match=r"no level 'c5' in this network; it has c1 c2$"):
        resnet("resnet_tiny", levels=["c2"])(torch.randn(1, 3, 32, 32), levels=["c5"])


@pytest.mark.parametrize(
    ("name", "norm"),
    [
        ("resnet_tiny", "frozen"),
        ("resnet_tiny", "group"),
        ("seresnet18", "batch"),
        *(pytest.param(name, "batch", marks=pytest.mark.slow) for name in ONE_OF_A_KIND if name != "seresnet18"),
    ],
)
def test_compiles_as_one_graph(name: str, norm: str) -> None:
    trunk = resnet(name, norm=norm, drop_path=0.2, checkpoint_segments=1)
    x = torch.randn(2, 3, 64, 64)
    for mode in (True, False):
        torch.compiler.reset()
        compiled = torch.compile(trunk.train(mode), fullgraph=True, backend="eager")
        assert set(compiled(x)) == set(trunk(x))
    assert all(torch.equal(compiled(x)[key], value) for key, value in trunk(x).items())


@pytest.mark.slow
@pytest.mark.parametrize("name", ONE_OF_A_KIND)
def test_compiled_code_computes_the_same(name: str) -> None:
    trunk = resnet(name).eval()
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        compiled = torch.compile(trunk, fullgraph=True)(x)
        for key, value in trunk(x).items():
            assert (compiled[key] - value).abs().max() <= 1e-5 * value.abs().max()


@pytest.mark.parametrize(
    "name",
    [
        "resnet_tiny",
        pytest.param("resnet10t", marks=pytest.mark.slow),
        pytest.param("resnet14t", marks=pytest.mark.slow),
        pytest.param("seresnet18", marks=pytest.mark.slow),
        pytest.param("resnet20_cifar", marks=pytest.mark.slow),
    ],
)
def test_exports_for_any_batch_and_size(name: str) -> None:
    trunk = resnet(name).eval()
    shape = {0: torch.export.Dim("n", min=1, max=8), 2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO}
    program = torch.export.export(trunk, (torch.randn(2, 3, 64, 96),), dynamic_shapes=(shape,))
    x = torch.randn(3, 3, 97, 71)
    exported = program.module()(x)
    for key, value in trunk(x).items():
        assert torch.allclose(exported[key], value, atol=1e-5)


def test_the_backbone_imports_only_torch() -> None:
    code = (
        "import sys, resnet_tl; resnet_tl.backbone('resnet50');"
        "print(*{'lightning', 'timm', 'wandb', 'albumentations', 'torchvision', 'cv2'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
