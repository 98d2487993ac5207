"""Training steps with frozen stages: ours, and torchvision's by `requires_grad=False`, against all trained.

Cached: the steps start from the features that the frozen stages have computed, which lie on the device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch

from benchmarks.figures import Figure
from benchmarks.gpu_parts.classifiers import images, ours, torchvisions, training_step
from benchmarks.gpu_parts.device import Run
from benchmarks.gpu_parts.race import race, speed, times_as_fast
from benchmarks.gpu_parts.setting import Setting
from resnet_tl.models.network import Network
from resnet_tl.tuning import prefix
from resnet_tl.tuning.freezing import freeze

TO_LAYER3, TO_HEAD = ("layer4", "head"), ("head",)
ALL = "all trained"
GOAL = 2.0
"""Times the steps of full training, frozen to layer3."""


def measure(setting: Setting) -> Iterator[Figure]:
    every = race(setting, contestants(setting))
    for name, timed in every.items():
        row = f"training, batch {setting.batch}, eager: {name}"
        yield from speed(row, timed, setting.batch)
        if name != ALL:
            yield times_as_fast(row, every, name, [ALL], GOAL if name == "stem to layer3 frozen" else None)


def contestants(setting: Setting) -> dict[str, Callable[[], Run]]:
    parts = {"stem to layer3 frozen": TO_LAYER3, "all but the head frozen": TO_HEAD}
    return {
        ALL: partial(_ours, setting, None),
        **{name: partial(_ours, setting, trained) for name, trained in parts.items()},
        **{f"{name}, cached": partial(_cached, setting, trained) for name, trained in parts.items()},
        **{f"torchvision, {name}": partial(_torchvisions, setting, trained) for name, trained in parts.items()},
    }


def _ours(setting: Setting, trained: tuple[str, ...] | None) -> Run:
    network = _network(setting, trained)
    return training_step(setting, network, network.run, images(setting, setting.batch), "eager")


def _cached(setting: Setting, trained: tuple[str, ...]) -> Run:
    network = _network(setting, trained)
    assert network.prefix is not None
    with torch.no_grad(), setting.device.autocast():
        features = network.condense(network.prefix(images(setting, setting.batch)))
    return training_step(setting, network, network.run, features, "eager")


def _network(setting: Setting, trained: tuple[str, ...] | None) -> Network:
    network = ours(setting).train()
    for stage, modules in network.stages().items():
        if trained is not None and stage not in trained:
            freeze(modules)
    prefix.install(network)
    return network


def _torchvisions(setting: Setting, trained: tuple[str, ...]) -> Run:
    model = torchvisions(setting)
    kept = {"head": model.fc, "layer4": model.layer4}
    model.requires_grad_(False)
    for stage in trained:
        kept[stage].requires_grad_(True)
    return training_step(setting, model, model, images(setting, setting.batch), "eager")
