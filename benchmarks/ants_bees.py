"""CIFAR networks fine-tuned on the tutorial's ants and bees at 64 pixels, by our recipes with adjusted values.

python -m benchmarks ants_bees --root DIR --weights DIR [--write] [--seeds 1 2 3 4 5] [--only resnet56] [--epochs N]

--root holds {train,val}/{ants,bees} (the images of PyTorch's transfer-learning tutorial), --weights the files
resnet20-12fca82f.th and resnet56-4bfd9763.th of github.com/akamaster/pytorch_resnet_cifar10. Accuracy is that of the
last epoch, never of the best one. The values below were chosen on runs with other seeds (100 and 101).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, over_seeds, write
from benchmarks.fits import SEEDS, measure
from benchmarks.machine import machine

PHASES = "[{epochs: 2, train: [head]}, {train: all}]"
COMMON = [
    *("-c", "classify/folder_resnet50_finetune", "--data.image_size", "64"),
    *("--model.optimizer.lr", "0.05", "--model.tuning.phases", PHASES),
]
NETWORKS = {
    "resnet56": ("resnet56-4bfd9763.th", ["--trainer.max_epochs", "36"]),
    "resnet20": ("resnet20-12fca82f.th", ["--trainer.max_epochs", "36"]),
}

TUTORIAL = {"resnet56": (79.5, 3.4), "resnet20": (73.1, 3.2)}
"""Of the tutorial's loop with its rate tuned, measured once over five seeds: mean and deviation in %."""


def main(arguments: list[str]) -> None:
    options = _parser().parse_args(arguments)
    runs = []
    for name in options.only:
        file, values = NETWORKS[name]
        network = ["--model.backbone.name", f"{name}_cifar", "--model.backbone.weights", str(options.weights / file)]
        fewer = [] if options.epochs is None else ["--trainer.max_epochs", str(options.epochs)]
        runs.append(measure(name, [*COMMON, *network, "--data.root", options.root, *values, *fewer], options.seeds))
    if options.write:
        measured = {"machine": machine(), "seeds": options.seeds, "runs": [vars(each) for each in runs]}
        write("ants_bees", measured, figures(measured))


def figures(results: dict[str, Any]) -> list[Figure]:
    found = []
    for runs in results["runs"]:
        row, (mean, deviation) = runs["name"].replace("resnet", "ResNet-"), TUTORIAL[runs["name"]]
        values = [100 * accuracy for accuracy in runs["accuracies"]]
        found.append(over_seeds("ants_bees", row, "resnet_tl", values, "%"))
        found.append(Figure("ants_bees", row, "tutorial", mean, "%", better="higher", deviation=deviation))
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks ants_bees")
    parser.add_argument("--root", required=True, help="folder of train/{ants,bees} and val/{ants,bees}")
    parser.add_argument("--weights", required=True, type=Path, help="folder of the two files")
    parser.add_argument("--write", action="store_true", help="writes benchmarks/results/ants_bees.json")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--only", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--epochs", type=int, help="a different number, for a quick check")
    return parser
