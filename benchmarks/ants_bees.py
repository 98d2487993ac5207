"""Networks fine-tuned on the tutorial's ants and bees, by our recipes with adjusted values.

python -m benchmarks ants_bees --data DIR [--write] [--seeds 1 2 3 4 5] [--only lite0] [--fits FILE] [--cache DIR]
    [--minutes M]

CIFAR's ResNet-20 and ResNet-56 at 64 pixels, and EfficientNet-Lite0 at 224 by `lpft_solved`. --data is as in
`solved_head`; the other options are those of `low_data`. Accuracy is that of the last epoch, never of the best one. The
values of the ResNets were chosen on runs with other seeds (100 and 101; the crops on 11 and 12); those of Lite0 are
those of `foreign`'s lpft, with a solved head in place of the epochs that train it, and two epochs after it.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.figures import RESULTS, Figure, over_seeds, with_run, write
from benchmarks.fits import SEEDS
from benchmarks.low_data_sets import lite0, published
from benchmarks.machine import machine
from benchmarks.short_fits import CACHE, Fits, OutOfTime, Overrides

_AT_64: Overrides = {
    "data.image_size": 64,
    "model.optimizer.lr": 0.05,
    "model.tuning.phases": [{"epochs": 2, "train": ["head"]}, {"train": "all"}],
    "trainer.max_epochs": 36,
}
_LITE0: Overrides = {
    "data.image_size": 224,
    "data.batch_size": 16,
    "data.augment": "light",
    "model.optimizer.name": "adamw",
    "model.optimizer.lr": 3e-3,
    "model.optimizer.weight_decay": 0.01,
    "model.tuning.phases": "lpft_solved",
    "model.tuning.norm": "frozen",
    "trainer.max_epochs": 3,
}
_TEN_CROPS: Overrides = {"data.crops": 10, "data.scales": [64, 72, 80, 96]}
"""At evaluation, as He et al. 2015 (section 3.4): the mean over crops of 64 pixels from images of these short sides."""
_RESNET56 = partial(published, "resnet56_cifar", "resnet56-4bfd9763.th")
NETWORKS = {
    "resnet56": (_RESNET56, _AT_64),
    "resnet56_ten_crops": (_RESNET56, {**_AT_64, **_TEN_CROPS}),
    "resnet20": (partial(published, "resnet20_cifar", "resnet20-12fca82f.th"), _AT_64),
    "lite0": (lite0, _LITE0),
}
"""What names the weights, and the values on top of `short_fits.RECIPE`."""
ROWS = {
    "resnet56": "ResNet-56",
    "resnet56_ten_crops": "ResNet-56, evaluated on ten crops in four sizes",
    "resnet20": "ResNet-20",
    "lite0": "EfficientNet-Lite0, `lpft_solved`",
}

TUTORIAL = {"resnet56": (79.5, 3.4), "resnet20": (73.1, 3.2), "lite0": (89.3, 1.0)}
"""Of the tutorial's loop with its rate tuned, measured once over five seeds: mean and deviation in %; Lite0 at 160
pixels."""
GOALS = {"resnet56": 86.0, "resnet56_ten_crops": 86.0, "lite0": 95.0}


def main(arguments: list[str]) -> None:
    options = _parser().parse_args(arguments)
    fits = Fits(options.fits, options.minutes)
    for name in options.only:
        try:
            accuracies = [accuracy(name, seed, options, fits) for seed in options.seeds]
        except OutOfTime:
            print(f"{name}: out of time; the same command continues", flush=True)
            continue
        run = {"name": name, "seeds": options.seeds, "accuracies": accuracies, "machine": machine()}
        for figure in figures({"runs": [run]}):
            print(f"{figure.row:<36} {figure.column:<10} {figure.value:.1f} ± {figure.deviation or 0:.1f} %")
        if options.write:
            measured = with_run("ants_bees", run, key=lambda each: each["name"])
            measured["runs"].sort(key=lambda each: list(NETWORKS).index(each["name"]))
            write("ants_bees", measured, figures(measured))


def figures(results: dict[str, Any]) -> list[Figure]:
    found = []
    for run in results["runs"]:
        row = ROWS[run["name"]]
        values = [100 * accuracy for accuracy in run["accuracies"]]
        found.append(over_seeds("ants_bees", row, "resnet_tl", values, "%", GOALS.get(run["name"])))
        if run["name"] in TUTORIAL:
            mean, deviation = TUTORIAL[run["name"]]
            found.append(Figure("ants_bees", row, "tutorial", mean, "%", better="higher", deviation=deviation))
    return found


def accuracy(name: str, seed: int, options: argparse.Namespace, fits: Fits) -> float:
    network, values = NETWORKS[name]
    data = {"data.root": str(options.data / "hymenoptera"), **network(options.data, options.cache)}
    return fits.accuracy({"network": name, "seed": seed}, {**data, **values, "seed_everything": seed})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks ants_bees")
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--fits", type=Path, default=RESULTS / "ants_bees.jsonl", help="the finished fits")
    parser.add_argument("--minutes", type=float, help="after which no fit is started")
    parser.add_argument("--write", action="store_true", help="writes benchmarks/results/ants_bees.json")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--only", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    return parser
