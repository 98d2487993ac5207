"""Images a second from JPEG files to classes: our predictor, and a loop around torchvision's or timm's network.

python -m benchmarks predict_files [--write] [--rounds 4] [--count 256] [--variant resnet18] [--batch 32]

The files, of 500 x 375 pixels, are made. All resize the short side to 256 and crop 224 pixels. The peers are their own
evaluation transforms on PIL images in a DataLoader of a worker process a core, and the network in eval mode, in
channels-last.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import timm
import torch
import torchvision
from timm.data import create_transform
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision.datasets.folder import default_loader
from torchvision.transforms._presets import ImageClassification

import resnet_tl
from benchmarks.alternate import alternate, quartiles, ratios
from benchmarks.figures import Figure, ratio, write
from benchmarks.machine import machine
from benchmarks.made import classifier, photographs

SIZE = 224
PEERS = ("torchvision", "timm")


class Files(Dataset[Any]):
    def __init__(self, paths: list[str], transform: Callable[[Any], Any]) -> None:
        self.paths, self.transform = paths, transform

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Any:
        return self.transform(default_loader(self.paths[index]))


def main(arguments: list[str]) -> None:
    options = _parser().parse_args(arguments)
    cores = len(os.sched_getaffinity(0))
    torch.set_num_threads(cores)
    print("  ".join(f"{key} {value}" for key, value in machine().items()))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = [str(path) for path in photographs(folder / "images", options.count)]
        model = resnet_tl.load(str(classifier(folder / "model", options.variant, SIZE)), batch_size=options.batch)
        torch.set_num_threads(cores)  # training may have set it
        networks = {
            "torchvision": (getattr(torchvision.models, options.variant)(), ImageClassification(crop_size=SIZE)),
            "timm": (timm.create_model(options.variant), create_transform(SIZE, crop_pct=SIZE / 256)),
        }
        contestants: dict[str, Callable[[], object]] = {"ours": lambda: sum(1 for _ in model.predict(paths))}
        for peer, (network, transform) in networks.items():
            contestants[peer] = loop(network, Files(paths, transform), options.batch, cores)
        seconds = alternate(contestants, options.rounds, warm_up=1)
    for who, values in seconds.items():
        compared = "" if who == "ours" else f"   ours is {ratios(seconds, who, 'ours')} x as fast"
        print(f"  {who:<12} {quartiles([options.count / each for each in values])} images/s{compared}")
    if options.write:
        settings = {key: value for key, value in vars(options).items() if key != "write"}
        measured = {"machine": machine(), "settings": settings, "seconds": seconds}
        write("predict_files", measured, figures(measured))


def figures(results: dict[str, Any]) -> list[Figure]:
    seconds, row = results["seconds"], results["settings"]["variant"].replace("resnet", "ResNet-")
    low, median, high = quartiles([results["settings"]["count"] / each for each in seconds["ours"]])
    rate = Figure("predict_files", row, "images a second", median, "images/s", None, "higher", low, high)
    return [rate] + [
        ratio("predict_files", row, f"against {peer}'s", seconds, (peer, "ours"), better="higher") for peer in PEERS
    ]


def loop(network: nn.Module, files: Files, batch: int, workers: int) -> Callable[[], object]:
    network = network.eval().to(memory_format=torch.channels_last)
    loader = DataLoader(files, batch, num_workers=workers, persistent_workers=True)

    @torch.inference_mode()
    def run() -> list[int]:
        classes: list[int] = []
        for images in loader:
            classes += network(images.contiguous(memory_format=torch.channels_last)).argmax(1).tolist()
        return classes

    return run


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks predict_files")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--count", type=int, default=256)
    parser.add_argument("--variant", default="resnet18")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--write", action="store_true", help="writes benchmarks/results/predict_files.json")
    return parser
