"""ResNet-20 on images of CIFAR-10's shape, as in table 6 of the paper (arXiv:1512.03385): batches of 128, padded by 4,
cropped and mirrored; random images, which lie on the device and are augmented there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.alternate import quartiles
from benchmarks.figures import Figure
from benchmarks.gpu_parts.device import Mode, Run
from benchmarks.gpu_parts.race import COMPILING, SPEED, TABLE, memory, race
from benchmarks.gpu_parts.setting import Setting
from resnet_tl.models.heads.classification import LinearHead
from resnet_tl.models.network import Backbone, build

BATCH, SIDE, PADDING = 128, 32, 4
IMAGES = 50_000
STEPS = 64_000
"""Of a training in the paper."""


def measure(setting: Setting) -> Iterator[Figure]:
    for mode in (setting.modes[0], setting.modes[-1]):
        (timed,) = race(setting, {"ours": partial(step_of, setting, mode)}, setting.cifar_steps).values()
        row = f"ResNet-20, 50,000 images of 32 px, batch {BATCH}, {mode}"
        low, median, high = quartiles([seconds * -(-IMAGES // BATCH) for seconds in timed.seconds])
        yield Figure(TABLE, f"{row}: an epoch", SPEED, median, "s", None, "lower", low, high)
        yield from memory(f"{row}: an epoch", timed.peak)
        if mode != "eager":
            yield Figure(TABLE, f"{row}: an epoch", COMPILING, timed.first, "s")
        minutes = quartiles(timed.seconds).median * STEPS / 60
        yield Figure(TABLE, f"{row}: the paper's 64,000 steps", SPEED, minutes, "min")


def step_of(setting: Setting, mode: Mode) -> Run:
    """A step on a random batch, in which decay, momentum and rate are the paper's."""
    device, batch = setting.device.kind, min(BATCH, setting.cifar_images)
    network = build(Backbone("resnet20_cifar"), None, LinearHead, [str(n) for n in range(10)]).to(device).train()
    images = torch.randint(256, (setting.cifar_images, 3, SIDE, SIDE), dtype=torch.uint8, device=device)
    padded = F.pad(images, [PADDING] * 4)
    targets = torch.randint(10, (setting.cifar_images,), device=device)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4, fused=True)
    forward: Callable[[Tensor], Tensor] = setting.device.in_mode(network.run, mode)

    def step() -> None:
        rows = torch.randint(len(images), (batch,), device=device)
        x = network.normalise(cropped_and_mirrored(padded, rows))
        with setting.device.autocast():
            loss = F.cross_entropy(forward(x), targets[rows])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def cropped_and_mirrored(padded: Tensor, rows: Tensor) -> Tensor:
    """Returns a random crop of each of the images `rows` `[N]` of `padded` `[M, 3, 40, 40]`, half of them mirrored:
    `[N, 3, 32, 32]` in channels-last layout."""
    count, place = len(rows), torch.arange(SIDE, device=rows.device)
    top, left = torch.randint(2 * PADDING + 1, (2, count, 1), device=rows.device)
    mirrored = torch.rand(count, 1, device=rows.device) < 0.5
    columns = left + torch.where(mirrored, SIDE - 1 - place, place)
    crops = padded[rows[:, None, None], :, (top + place)[:, :, None], columns[:, None, :]]
    return crops.permute(0, 3, 1, 2)
