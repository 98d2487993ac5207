"""A training step of U-Net and semantic FPN on the CPU, compared with segmentation_models.pytorch's.

python -m benchmarks segmentation [--write] [--rounds 20] [--backbone resnet18] [--batch 8] [--size 256] [--threads N]

Needs `pip install segmentation-models-pytorch`. A step is forward, cross-entropy, backward and SGD, on bytes that are
normalised in the network (ours) or before it (theirs, untimed).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.alternate import alternate, quartiles, ratios
from benchmarks.figures import Figure, ratio, write
from benchmarks.machine import machine
from resnet_tl.models.heads.segmentation.semantic_fpn import SemanticFPNHead
from resnet_tl.models.heads.segmentation.unet import UNetHead
from resnet_tl.models.network import Backbone, build
from resnet_tl.models.pyramid import FPN

TARGETS = {"segmentation_models.pytorch, channels-last": 1.0, "segmentation_models.pytorch": 0.84}
CLASSES = [str(k) for k in range(11)]
ARCHITECTURES = {"Unet": (None, UNetHead), "FPN": (partial(FPN, smooth=False), SemanticFPNHead)}
NAMES = {"Unet": "U-Net", "FPN": "semantic FPN"}


def main(arguments: list[str]) -> None:
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    print("  ".join(f"{key} {value}" for key, value in machine().items()))
    results = {}
    for name in ARCHITECTURES:
        contestants = {"ours": ours(name, options)}
        for peer in TARGETS:
            contestants[peer] = theirs(name, options, channels_last=peer.endswith("channels-last"))
        seconds = alternate(contestants, options.rounds)
        results[name] = seconds
        print(f"\n{name}, {options.backbone}, batch {options.batch}, {options.size} px, {options.threads} threads")
        for contestant, values in seconds.items():
            print(f"  {contestant:<44} {quartiles(values)} s")
        for peer, target in TARGETS.items():
            compared = ratios(seconds, "ours", peer)
            verdict = "met" if compared.median <= target else "FALLS SHORT"
            print(f"  ours is {compared} x {peer}, target {target}: {verdict}")
    if options.write:
        measured = {"machine": machine(), "options": vars(options), "seconds": results}
        write("segmentation", measured, figures(measured))


def figures(results: dict[str, Any]) -> list[Figure]:
    columns = dict(zip(TARGETS, ("channels-last", "default layout"), strict=True))
    return [
        ratio("training_step", NAMES[name], columns[peer], seconds, ("ours", peer), target)
        for name, seconds in results["seconds"].items()
        for peer, target in TARGETS.items()
    ]


def ours(name: str, options: argparse.Namespace) -> Callable[[], object]:
    neck, head = ARCHITECTURES[name]
    network = build(Backbone(options.backbone), neck, head, CLASSES).train()
    images, targets = _batch(options)
    images = images.contiguous(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)

    def step() -> None:
        optimizer.zero_grad()
        network.head.loss(network(images), targets)["cross_entropy"].backward()
        optimizer.step()

    return step


def theirs(name: str, options: argparse.Namespace, channels_last: bool) -> Callable[[], object]:
    import segmentation_models_pytorch as smp

    layout = torch.channels_last if channels_last else torch.contiguous_format
    network: nn.Module = getattr(smp, name)(options.backbone, encoder_weights=None, classes=len(CLASSES))
    network = network.to(memory_format=layout).train()
    images, targets = _batch(options)
    normalised = ((images.float() - 120) / 60).contiguous(memory_format=layout)
    labels = targets.long()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(network(normalised), labels, ignore_index=255).backward()
        optimizer.step()

    return step


def _batch(options: argparse.Namespace) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    shape = (options.batch, 3, options.size, options.size)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=draw)
    targets = torch.randint(0, len(CLASSES), (shape[0], *shape[2:]), dtype=torch.uint8, generator=draw)
    return images, targets


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks segmentation")
    parser.add_argument("--write", action="store_true", help="writes benchmarks/results/segmentation.json")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    return parser
