"""The frozen prefix returns the same maps as its stages for less compute, and always with their current weights."""

from __future__ import annotations

import copy
import functools
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from resnet_tl.models.heads.base import Head
from resnet_tl.models.heads.classification import LinearHead
from resnet_tl.models.network import Backbone, Network, build
from resnet_tl.models.resnet import resnet
from resnet_tl.structures.records import Features, Level
from resnet_tl.tuning import prefix
from resnet_tl.tuning.freezing import freeze, unfreeze

TRUNK = ("stem", "layer1", "layer2", "layer3", "layer4")


class Pyramid(nn.Module):
    """Reads two levels and returns one."""

    reads = ("c3", "c5")

    def __init__(self, levels: list[Level]) -> None:
        super().__init__()
        channels = {level.name: level.channels for level in levels}
        self.feature_info = [Level("p3", 4, 8)]
        self.lateral = nn.ModuleDict({name: nn.Conv2d(channels[name], 4, 1) for name in self.reads})
        self.seen: list[str] = []

    def forward(self, maps: dict[str, Tensor]) -> dict[str, Tensor]:
        self.seen = list(maps)
        deep = self.lateral["c5"](maps["c5"])
        return {"p3": self.lateral["c3"](maps["c3"]) + deep.mean((2, 3), keepdim=True)}


class Everything(Head):
    """Reads all levels."""

    def __init__(self, levels: list[Level], classes: list[str]) -> None:
        super().__init__()
        self.fc = nn.Linear(sum(level.channels for level in levels), len(classes))

    def forward(self, maps: dict[str, Tensor], sizes: Tensor | None, input_size: tuple[int, int]) -> Tensor:
        return self.fc(torch.cat([value.mean((2, 3)) for value in maps.values()], 1))

    def loss(self, outputs: Tensor, targets: Any) -> dict[str, Tensor]:
        return {"loss": outputs.square().mean()}

    def predict(self, outputs: Tensor) -> Tensor:
        return outputs


def network(head: Any = LinearHead, neck: Any = None, frozen: tuple[str, ...] = TRUNK[:4]) -> Network:
    torch.manual_seed(0)
    made = build(Backbone("resnet_tiny", zero_init_last=False), neck, head, ["a", "b", "c"])
    for part in made.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.3)  # type: ignore[union-attr]
            part.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
    for stage in frozen:
        freeze(made.stages()[stage])
    return made


IMAGES = torch.randn(5, 3, 40, 48, generator=torch.Generator().manual_seed(1))


def relative(one: Tensor, other: Tensor) -> float:
    return float((one - other).detach().abs().max() / other.detach().abs().max())


@pytest.mark.parametrize("depth", range(1, 6))
@pytest.mark.parametrize(("head", "neck"), [(LinearHead, None), (Everything, None), (LinearHead, Pyramid)])
def test_the_outputs_are_those_of_its_stages(depth: int, head: Any, neck: Any) -> None:
    made = network(head, neck, TRUNK[:depth]).eval()
    expected = made.run(IMAGES)
    assert prefix.install(made) is not None
    assert made.prefix.stage == TRUNK[depth - 1]
    assert relative(made.run(IMAGES), expected) < 1e-5


def test_only_maps_that_are_read_are_returned() -> None:
    def maps(**how: Any) -> list[str]:
        made = network(**how)
        prefix.install(made)
        return list(made.prefix(IMAGES).maps)

    assert maps() == ["c4"]
    assert maps(frozen=TRUNK) == ["c5"]
    assert maps(head=Everything) == ["c1", "c2", "c3", "c4"]
    assert maps(neck=Pyramid) == ["c3", "c4"]
    assert maps(neck=Pyramid, frozen=(*TRUNK, "neck")) == ["p3"]


def test_a_neck_gets_what_it_reads_with_and_without_a_prefix() -> None:
    made = network(neck=Pyramid)
    made.run(IMAGES)
    assert made.neck.seen == ["c3", "c5"]
    prefix.install(made)
    made.run(IMAGES)
    assert made.neck.seen == ["c3", "c5"]


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_train_and_eval_give_the_same_maps_bit_for_bit(precision: torch.dtype) -> None:
    made = network()
    prefix.install(made)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
        in_training = made.train().prefix(IMAGES).maps["c4"]
        with torch.inference_mode():
            in_evaluation = made.eval().prefix(IMAGES.clone()).maps["c4"]
    assert torch.equal(in_training, in_evaluation)
    assert in_training.dtype == precision


def test_images_that_are_nan_are_not_hidden() -> None:
    net = network()
    prefix.install(net)
    images = torch.full((1, 3, 32, 32), torch.nan).to(memory_format=torch.channels_last)
    assert net.prefix(images).maps["c4"].isnan().all()


def test_batch_mates_change_nothing() -> None:
    made = network().train()
    prefix.install(made)
    whole = made.prefix(IMAGES).maps["c4"]
    parts = torch.cat([made.prefix(part).maps["c4"] for part in (IMAGES[:1], IMAGES[1:])])
    assert relative(parts, whole) < 1e-5


def test_no_graph_and_nothing_saved_inside_but_the_rest_is_trained() -> None:
    made = network().train()
    prefix.install(made)
    saved: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: saved.append(tensor) or tensor, lambda tensor: tensor):
        features = made.prefix(IMAGES.clone().requires_grad_())
        assert saved == []
        made.run(features).square().sum().backward()
    assert not features.maps["c4"].requires_grad
    trained = {name for name, parameter in made.named_parameters() if parameter.grad is not None}
    assert trained == {name for name, _ in made.named_parameters() if name.startswith(("trunk.layer4", "head"))}


def test_norms_are_folded_and_the_maps_stay_channels_last() -> None:
    made = network()
    prefix.install(made)
    maps = made.prefix(IMAGES.contiguous(memory_format=torch.channels_last)).maps
    assert maps["c4"].is_contiguous(memory_format=torch.channels_last)
    assert not any("running_mean" in name for name in made.prefix.state())


def test_it_is_registered_nowhere() -> None:
    made = network()
    names, parameters = list(made.state_dict()), len(list(made.parameters()))
    prefix.install(made)
    made.run(IMAGES)
    assert list(made.state_dict()) == names
    assert len(list(made.parameters())) == parameters
    assert copy.deepcopy(made).prefix is None
    assert pickle.loads(pickle.dumps(made)).prefix is None


def test_a_copy_trains_all_stages() -> None:
    made = network()
    prefix.install(made)
    twin = copy.deepcopy(made)
    unfreeze(twin.stages()["stem"])
    twin.run(IMAGES).sum().backward()
    assert twin.trunk.conv1.weight.grad is not None


def _load(made: Network) -> None:
    made.load_state_dict({key: value * 0.9 for key, value in made.state_dict().items()})


def _swap(made: Network) -> None:
    with torch.inference_mode():  # where Lightning validates
        made.trunk.conv1.weight.copy_(made.trunk.conv1.weight * 2)


def _replace(made: Network) -> None:
    made.trunk.bn1.running_mean = made.trunk.bn1.running_mean + 1


def _move(made: Network) -> None:
    made.double()


@pytest.mark.parametrize("change", [_load, _swap, _replace, _move])
def test_it_follows_the_weights(change: Any) -> None:
    made = network().eval()
    prefix.install(made)
    before = made.prefix(IMAGES).maps["c4"]
    change(made)
    images = IMAGES.to(made.mean.dtype)
    after = made.prefix(images).maps["c4"]
    assert relative(after, made.trunk(images, levels=["c4"])["c4"]) < 1e-5
    assert after.dtype == images.dtype
    assert change is _move or relative(before, after) > 1e-3


def test_buffers_written_with_equal_values_are_not_folded_again() -> None:
    made = network()
    prefix.install(made)
    made.prefix(IMAGES)
    weight = made.prefix._folded.trunk.conv1.weight
    version = weight._version
    with torch.no_grad():
        made.trunk.bn1.running_mean.copy_(made.trunk.bn1.running_mean)
    made.prefix(IMAGES)
    assert weight._version == version


def test_removed_without_a_trace() -> None:
    made = network()
    state = {key: value.clone() for key, value in made.state_dict().items()}
    expected = made.eval().run(IMAGES)
    prefix.install(made)
    made.run(IMAGES)
    prefix.remove(made)
    assert made.prefix is None
    assert all(torch.equal(value, state[key]) for key, value in made.state_dict().items())
    assert torch.equal(made.run(IMAGES), expected)


def test_stages_not_frozen_from_the_input_on_run_as_before() -> None:
    made = network(frozen=("layer1", "layer2"))
    assert prefix.install(made) is None
    assert made.prefix is None


def test_a_stage_with_only_frozen_norms_is_not_part_of_it() -> None:
    made = network(frozen=("stem",))
    unfreeze(made.stages()["layer1"], norms_frozen=True)
    prefix.install(made)
    assert made.prefix.stage == "stem"


class Whole(nn.Module):
    """A custom trunk that cannot be cut."""

    def __init__(self) -> None:
        super().__init__()
        inner = resnet("resnet_tiny", levels=("c3", "c5"))
        self.inner, self.in_channels = inner, 3
        self.feature_info, self.preprocessing = inner.feature_info, inner.preprocessing

    def stages(self) -> dict[str, list[nn.Module]]:
        return self.inner.stages()

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return self.inner(images)


def test_a_trunk_that_cannot_be_cut_is_a_prefix_as_a_whole() -> None:
    trunk = Whole()
    made = Network(trunk, None, LinearHead(trunk.feature_info, ["a", "b"])).eval()
    for stage in TRUNK[:4]:
        freeze(made.stages()[stage])
    assert prefix.install(made) is None
    freeze(made.stages()["layer4"])
    expected = made.run(IMAGES)
    prefix.install(made)
    assert made.prefix.stage == "layer4"
    assert relative(made.run(IMAGES), expected) < 1e-5


def test_it_reports_what_custom_modules_do_without() -> None:
    foreign = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(4, 2))
    assert prefix.install(foreign) is None
    freeze([foreign[0]])
    assert "no resnet_tl.Network" in str(prefix.install(foreign))


def test_features_travel_with_their_batch() -> None:
    features = Features({"c4": torch.zeros(2, 3, 4, 5)}, (64, 80), "layer3").to("cpu", dtype=torch.float64)
    assert features.maps["c4"].dtype == torch.float64
    assert (features.input_size, features.after) == ((64, 80), "layer3")


@pytest.mark.slow
def test_compiled_it_is_equal_and_follows_new_weights() -> None:
    made = network(functools.partial(LinearHead))
    expected = made.eval().run(IMAGES)
    prefix.install(made, compiled=True)
    assert relative(made.run(IMAGES), expected) < 1e-5
    _load(made)
    compiled = made.run(IMAGES)
    prefix.remove(made)
    assert relative(compiled, made.run(IMAGES)) < 1e-5


def test_in_bf16_the_maps_have_the_precision_of_the_rest_and_nearly_the_values() -> None:
    made = network(head=Everything)
    prefix.install(made)
    exact = made.prefix(IMAGES).maps
    summary = prefix.install(made, bf16=True)
    assert summary == "stem to layer3: frozen, run folded and without a graph, in bf16"
    maps = made.prefix(IMAGES).maps
    assert list(maps) == list(exact)
    for level, value in maps.items():
        assert value.dtype == torch.float32
        assert torch.equal(value, value.bfloat16().float()), "computed in bf16"
        assert 0 < (value - exact[level]).norm() / exact[level].norm() < 0.02
    with torch.autocast("cpu", torch.bfloat16):
        assert made.prefix(IMAGES).maps["c4"].dtype == torch.bfloat16
    assert {tensor.dtype for tensor in made.prefix.state().values()} == {torch.bfloat16}
    assert {tensor.dtype for tensor in made.state_dict().values()} == {torch.float32, torch.int64}


def test_in_bf16_written_weights_are_seen() -> None:
    made = network()
    prefix.install(made, bf16=True)
    before = made.prefix(IMAGES).maps["c4"]
    with torch.no_grad():
        made.trunk.conv1.weight.mul_(2)
    assert relative(made.prefix(IMAGES).maps["c4"], before) > 0.1


def test_gradients_reach_what_follows_a_prefix_in_bf16() -> None:
    made = network().train()
    prefix.install(made, bf16=True)
    made.run(IMAGES).square().mean().backward()
    gradients = {name: p.grad for name, p in made.named_parameters() if p.grad is not None}
    assert {name.split(".")[1] for name in gradients if name.startswith("trunk")} == {"layer4"}
    assert all(gradient.dtype == torch.float32 for gradient in gradients.values())
