"""How far `tuning.prefix_precision: bf16` is from fp32, in features and predictions of ResNet-20 with CIFAR-10 weights.

python -m benchmarks prefix_precision [--write]

All but the head is frozen; the images are those of data/samples.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from benchmarks.figures import Figure, write
from benchmarks.machine import machine
from resnet_tl.models.network import Backbone
from resnet_tl.tasks.classification import Classification
from resnet_tl.tuning import prefix
from resnet_tl.tuning.freezing import freeze

IMAGES = Path(__file__).parents[1] / "data" / "samples" / "classification"
CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def main(arguments: list[str]) -> None:
    options = _parser().parse_args(arguments)
    measured = {"machine": machine(), **measure()}
    for figure in figures(measured):
        print(f"{figure.row}: {figure.value:.2f} {figure.unit}")
    if options.write:
        write("prefix_precision", measured, figures(measured))


def measure() -> dict[str, Any]:
    backbone = Backbone("resnet20_cifar", weights="builtin/resnet20_cifar10")
    network = Classification(CLASSES, backbone=backbone).network.eval()
    for stage, modules in network.stages().items():
        if stage != "head":
            freeze(modules)
    decoded = np.stack([cv2.imread(str(path))[..., ::-1] for path in sorted(IMAGES.glob("*/*/*.png"))])
    images = torch.from_numpy(decoded).permute(0, 3, 1, 2)
    maps, pooled, outputs = [], [], []
    for bf16 in (False, True):
        prefix.install(network, bf16=bf16)
        assert network.prefix is not None
        with torch.no_grad():
            maps.append(network.prefix(network.normalise(images)).maps["c4"])
            outputs.append(network(images))
        pooled.append(maps[-1].mean((2, 3)))
    other = (outputs[0].argmax(1) != outputs[1].argmax(1)).float().mean()
    return {"images": len(images), "maps": _apart(*maps), "pooled": _apart(*pooled), "predictions": float(other)}


def figures(results: dict[str, Any]) -> list[Figure]:
    rows = {
        "maps": "difference of the last map, of its norm",
        "pooled": "difference of the pooled features, of their norm",
        "predictions": f"other classes predicted, of {results['images']} images",
    }
    return [Figure("prefix_precision", row, "in bf16", 100 * results[key], "%") for key, row in rows.items()]


def _apart(one: Tensor, other: Tensor) -> float:
    return float((one - other).norm() / one.norm())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks prefix_precision")
    parser.add_argument("--write", action="store_true", help="writes benchmarks/results/prefix_precision.json")
    return parser
