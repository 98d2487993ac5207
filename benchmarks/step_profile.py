"""Where the CPU time of a training step goes, ours and the peers': to convolutions, to batch norms, to the rest.

python -m benchmarks step_profile [--write] [--only NETWORK ...] [--small]

It is the reason behind the ratios of `freezing_speed`, `resnet`, `detection` and `segmentation`, whose networks, sizes
and peers these are, one thread each, with our command's malloc. Shares are of the own time of torch's operators in one
step after a first one; the convolutions of folded networks include their ReLU and residual. `--small`: small ones, to
try it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks import detection, freezing_speed, resnet, segmentation
from benchmarks.figures import Figure, write
from benchmarks.machine import machine

Step = Callable[[], object]
Shares = dict[str, float]
"""Of the operators' time, in percent, by kind."""

COLUMNS = ("convolutions", "batch norms", "the rest")
OURS = "ours"


def main(arguments: list[str]) -> None:
    options = _parser().parse_args(arguments)
    print("  ".join(f"{key} {value}" for key, value in machine().items()))
    results: dict[str, Any] = {"machine": machine(), "shares": {}}
    for network in options.only:
        for who in (OURS, NETWORKS[network][0]):
            shares = resnet.in_fresh_process(shares_of, network, who, options.small)
            results["shares"][f"{network}: {who}"] = shares
            listed = "  ".join(f"{kind} {share:.1f} %" for kind, share in shares.items())
            print(f"  {network + ': ' + who:<60}{listed}", flush=True)
    if options.write:
        write("step_profile", results, figures(results))


def figures(results: dict[str, Any]) -> list[Figure]:
    return [
        Figure("step_profile", row.replace("layer3", "`layer3`"), column, shares[column], "%")
        for row, shares in results["shares"].items()
        for column in COLUMNS
    ]


def shares_of(network: str, who: str, small: bool) -> Shares:
    resnet.raise_malloc()
    step = NETWORKS[network][1](who, small)
    step()
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        step()
    times = dict.fromkeys(COLUMNS, 0.0)
    for event in profiled.key_averages():
        times[_kind(event.key)] += event.self_cpu_time_total
    return {kind: 100 * time / sum(times.values()) for kind, time in times.items()}


def _kind(operator: str) -> str:
    if "conv" in operator:
        return "convolutions"
    return "batch norms" if "batch_norm" in operator else "the rest"


def _frozen(frozen: str, who: str, small: bool) -> Step:
    batch, size = (2, 64) if small else (16, 224)
    setting = freezing_speed.Setting("resnet50", batch, size, threads=1, rounds=1, allocator="raised")
    freezing_speed.settle(setting)
    if who == OURS:
        return freezing_speed.ours(setting, frozen)
    return freezing_speed.theirs(setting, frozen, freezing_speed.PLAIN, channels_last=True)


def _classifier(who: str, small: bool) -> Step:
    batch, size = (2, 64) if small else (16, 224)
    setting = resnet.Setting("training", "resnet50", batch, size, 1, threads=1, allocator="raised", precision="32")
    resnet.prepare(setting)
    return resnet.trainer(setting, who)


def _detector(head: str, who: str, small: bool) -> Step:
    batch, size = (1, 128) if small else (4, 512)
    setting = detection.Setting(head, "resnet50", batch, size, objects=20, rounds=1, threads=1)
    detection.prepare(setting)
    return detection.trainer(setting, "ours, folded" if who == OURS else who)


def _segmenter(name: str, who: str, small: bool) -> Step:
    options = argparse.Namespace(backbone="resnet18", batch=2 if small else 8, size=64 if small else 256)
    torch.set_num_threads(1)
    return segmentation.ours(name, options) if who == OURS else segmentation.theirs(name, options, channels_last=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks step_profile")
    parser.add_argument("--write", action="store_true", help="writes benchmarks/results/step_profile.json")
    parser.add_argument("--only", nargs="+", choices=NETWORKS, default=NETWORKS, metavar="NETWORK")
    parser.add_argument("--small", action="store_true")
    return parser


TORCHVISION, SMP = "torchvision, channels-last", "segmentation_models.pytorch, channels-last"
NETWORKS: dict[str, tuple[str, Callable[[str, bool], Step]]] = {
    "ResNet-50, stem to layer3 frozen": ("requires_grad, channels-last", partial(_frozen, "stem to layer3")),
    "ResNet-50, all but the head frozen": ("requires_grad, channels-last", partial(_frozen, "all but the head")),
    "ResNet-50": (TORCHVISION, _classifier),
    "RetinaNet": (TORCHVISION, partial(_detector, "retinanet")),
    "FCOS": (TORCHVISION, partial(_detector, "fcos")),
    "U-Net": (SMP, partial(_segmenter, "Unet")),
    "semantic FPN": (SMP, partial(_segmenter, "FPN")),
}
"""A network -> its peer, and what builds a step of either."""
