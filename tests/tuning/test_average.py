from __future__ import annotations

import copy

import pytest
import torch
from timm.utils import ModelEmaV3
from torch import nn

from resnet_tl.tuning.average import Average, decay_of, warm_decay


def net() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))


def test_a_constant_model_does_not_drift() -> None:
    module = net()
    average = Average(module, 0.999)
    for _ in range(1000):
        average.update(module)
    assert all(torch.equal(average.state[key], tensor) for key, tensor in module.state_dict().items())


def test_update_is_the_moving_average_and_counters_are_copied() -> None:
    module = net()
    start = copy.deepcopy(module.state_dict())
    average = Average(module, 0.9)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 1
        module[1].num_batches_tracked += 7
    average.update(module)
    torch.testing.assert_close(average.state["0.weight"], start["0.weight"] + 0.1)
    assert average.state["1.num_batches_tracked"] == 7


def test_swapping_twice_changes_nothing() -> None:
    module = net()
    average = Average(module, 0.5)
    with torch.no_grad():
        module[0].weight.fill_(3)
    average.update(module)
    raw, mean = copy.deepcopy(module.state_dict()), {k: v.clone() for k, v in average.state.items()}
    average.swap(module)
    assert torch.equal(module[0].weight, mean["0.weight"])
    average.swap(module)
    assert all(torch.equal(raw[key], tensor) for key, tensor in module.state_dict().items())
    assert all(torch.equal(mean[key], tensor) for key, tensor in average.state.items())


def test_tied_weights_are_averaged_and_swapped_once() -> None:
    module = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
    module[1].weight = module[0].weight
    start = module[0].weight.detach().clone()
    average = Average(module, 0.9)
    with torch.no_grad():
        module[0].weight += 1
    average.update(module)
    torch.testing.assert_close(average.state["0.weight"], start + 0.1)
    average.swap(module)
    torch.testing.assert_close(module[1].weight, start + 0.1)
    average.swap(module)
    assert torch.equal(module[0].weight, start + 1)
    assert torch.equal(average.state["1.weight"], average.state["0.weight"])


def test_the_warm_up_of_the_decay_is_timms() -> None:
    module = nn.Linear(3, 3)
    average, peer = Average(module, 0.9, updates=0), ModelEmaV3(module, 0.9, use_warmup=True)
    for step in range(1, 60):
        with torch.no_grad():
            module.weight += torch.randn(3, 3)
        average.update(module)
        peer.update(module, step=step)
        torch.testing.assert_close(average.state["weight"], peer.module.weight.detach())
    assert warm_decay(80) == pytest.approx(0.947, abs=1e-3)
    assert warm_decay(30) < 0.9 < warm_decay(32)
    assert average.updates == 59


def test_a_note_where_the_warm_up_does_not_reach_the_decay() -> None:
    module = nn.Linear(3, 3)
    assert Average(module, 0.999, updates=0).note(80) == (
        "tuning.ema is 0.999; its warm-up reaches 0.947 in this run's 80 steps"
    )
    assert Average(module, 0.9, updates=0).note(80) is None
    assert Average(module, 0.999).note(80) is None


@pytest.mark.parametrize(("images", "batch", "epochs", "every"), [(1_281_167, 1024, 600, 32), (1_281_167, 256, 90, 1)])
def test_auto_is_torchvisions_average_of_any_batch_and_length(images: int, batch: int, epochs: int, every: int) -> None:
    alpha = (1 - 0.99998) * batch * every / epochs  # references/classification/train.py, of `every` steps
    steps = images * epochs // batch
    assert (1 - decay_of("auto", steps)) * every == pytest.approx(alpha, rel=1e-2)
    assert decay_of("auto", 20) == 0, "a copy of the weights"
    assert decay_of(0.9, 20) == 0.9
