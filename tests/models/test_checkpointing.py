"""Checkpointing changes memory and time, and no bit of the results."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import Tensor

from resnet_tl.models.resnet import ResNet, resnet


def step(trunk: ResNet, x: Tensor) -> dict[str, Tensor]:
    """Returns the outcome of a training step: gradients, weights, buffers and the state of the random generator."""
    torch.manual_seed(5)
    optimizer = torch.optim.SGD(trunk.parameters(), lr=0.1, momentum=0.9)
    sum(value.square().mean() for value in trunk(x).values()).backward()
    gradients = {f"{name} (gradient)": parameter.grad.clone() for name, parameter in trunk.named_parameters()}
    optimizer.step()
    return gradients | trunk.state_dict() | {"random state": torch.get_rng_state()}


@pytest.mark.parametrize(
    "segments", [1, pytest.param(2, marks=pytest.mark.slow), 3, pytest.param(99, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("resnet20_cifar", {}),
        ("resnet20_cifar", {"drop_path": 0.5}),
        ("resnet20_cifar", {"norm": "group"}),
        ("resnet20_cifar", {"norm": "frozen"}),
        ("seresnet18", {"drop_path": 0.3, "zero_init_last": False}),
        ("resnet14t", {"output_stride": 8}),
    ],
)
def test_a_step_is_the_same_bit_for_bit(name: str, options: dict[str, object], segments: int) -> None:
    plain, checkpointed = resnet(name, **options), resnet(name, **options, checkpoint_segments=segments)
    checkpointed.load_state_dict(plain.state_dict())
    x = torch.randn(4, 3, 32, 32)
    for _ in range(2):
        expected, outcome = step(plain, x), step(checkpointed, x)
        assert expected.keys() == outcome.keys()
        assert [key for key, value in expected.items() if not torch.equal(value, outcome[key])] == []


def test_a_norm_in_eval_mode_stays_in_eval_mode() -> None:
    plain, checkpointed = resnet("resnet20_cifar"), resnet("resnet20_cifar", checkpoint_segments=2)
    checkpointed.load_state_dict(plain.state_dict())
    for trunk in (plain, checkpointed):
        trunk.layer2.eval()
    x = torch.randn(4, 3, 32, 32)
    expected, outcome = step(plain, x), step(checkpointed, x)
    assert all(torch.equal(value, outcome[key]) for key, value in expected.items())
    assert outcome["layer2.0.bn1.num_batches_tracked"] == 0
    assert outcome["layer3.0.bn1.num_batches_tracked"] == 1


@pytest.mark.parametrize("autocast", [False, True])
def test_stores_fewer_maps(autocast: bool) -> None:
    def kept(segments: int) -> int:
        total = 0

        def count(value: Tensor) -> Tensor:
            nonlocal total
            total += value.numel()
            return value

        trunk = resnet("resnet56_cifar", checkpoint_segments=segments)
        with (
            torch.autocast("cpu", torch.bfloat16, enabled=autocast),
            torch.autograd.graph.saved_tensors_hooks(count, lambda value: value),
        ):
            trunk(torch.randn(2, 3, 32, 32))
        return total

    assert kept(3) < 0.1 * kept(0)


DEEPEST = """
import resource, time
import torch
from resnet_tl.models.resnet import resnet
started = time.perf_counter()
trunk = resnet("resnet1202_cifar", checkpoint_segments=20)
print(time.perf_counter() - started)
classifier = torch.nn.Linear(64, 10)
optimizer = torch.optim.SGD([*trunk.parameters(), *classifier.parameters()], lr=0.1, momentum=0.9)
images, targets = torch.randn(128, 3, 32, 32), torch.randint(10, (128,))
loss = torch.nn.functional.cross_entropy(classifier(trunk(images, levels=["c4"])["c4"].mean((2, 3))), targets)
loss.backward()
optimizer.step()
print(loss.item())
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""


@pytest.mark.slow
def test_the_deepest_net_builds_in_seconds_and_trains_in_4_gib() -> None:
    done = subprocess.run([sys.executable, "-c", DEEPEST], capture_output=True, text=True, check=True)
    seconds, loss, gibibytes = map(float, done.stdout.split())
    print(f"\nbuilt in {seconds:.1f} s, loss {loss:.2f}, peak {gibibytes:.2f} GiB")
    assert seconds < 10
    assert 1 < loss < 10
    assert gibibytes < 4


@pytest.mark.slow
def test_a_step_of_the_deepest_net_is_the_same_bit_for_bit() -> None:
    plain, checkpointed = resnet("resnet1202_cifar"), resnet("resnet1202_cifar", checkpoint_segments=20)
    checkpointed.load_state_dict(plain.state_dict())
    x = torch.randn(8, 3, 32, 32)
    expected, outcome = step(plain, x), step(checkpointed, x)
    assert [key for key, value in expected.items() if not torch.equal(value, outcome[key])] == []
