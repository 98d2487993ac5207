"""Four classes that arrive after a network has learned six: what it forgets, and how well it learns them.

python -m benchmarks new_classes --data DIR [--write] [--seeds 1 2 3] [--old 750] [--new 500]

--data holds cifar10/{train,test}.zip (class folders). A ResNet-20 learns airplane, automobile, bird, cat, deer and dog
from random weights, on --old images of each, in 10 epochs. Then it is trained for 6 epochs on --new images of each of
frog, horse, ship and truck, at a fifth of the rate, in these ways, all but the last without old images but those named:

retrain the head          the trunk is frozen, and the classifier of ten classes is new
fine-tune                 all is trained, and the classifier of ten classes is new
rows kept                 fit --from RUN: rows of known classes are kept, new ones start from class means, and the loss
                          is over the classes that have images
rows kept, LwF            next to that, the answers of the old classifier are kept (strength 1, temperature 2)
rows kept, LwF, replay    with 20 images of each old class, drawn as often as the new ones
joint                     on all images of all ten classes, from the same network: what the others are to come near

A seed draws the images, and is that of both trainings. Accuracies are means over the classes, of all ten as outputs, on
the first 200 test images of each class, after the last epoch; no rate or strength was chosen on them. `core s` are the
seconds of all cores that the second training takes, with its one validation.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import resnet_tl
from benchmarks.figures import Figure, over_seeds, write
from benchmarks.fits import core_seconds
from benchmarks.machine import machine

OLD = ("airplane", "automobile", "bird", "cat", "deer", "dog")
NEW = ("frog", "horse", "ship", "truck")
TESTED, REPLAYED = 200, 20
"""Images of each class to test on, and of each old class to replay."""
FIRST = {"trainer.max_epochs": 10, "model.optimizer.lr": 0.1}
SECOND = {"trainer.max_epochs": 6, "model.optimizer.lr": 0.02, "model.schedule.warmup_epochs": 0}
KNOWN = {"model.backbone.keep_classifier": "known"}
LWF = {"model.tuning.regularisers": [{"class_path": "LwF"}]}
Row = dict[str, list[float]]
BEFORE = "six classes, before"


def main(arguments: list[str]) -> None:
    options = _parser().parse_args(arguments)
    rows: dict[str, Row] = {}
    for seed in options.seeds:
        for name, found in measure(options.data / "cifar10", seed, options.old, options.new):
            row = rows.setdefault(name, defaultdict(list))
            for column, value in found.items():
                row[column].append(value)
            print(
                f"seed {seed}  {name:<24} " + "  ".join(f"{key} {value:.1f}" for key, value in found.items()),
                flush=True,
            )
    for name, row in rows.items():
        print(f"{name:<24} " + "  ".join(f"{key} {statistics.mean(values):.1f}" for key, values in row.items()))
    if options.write:
        sizes = {"old": options.old, "new": options.new}
        measured = {"machine": machine(), "seeds": options.seeds, "images": sizes, "rows": rows}
        write("new_classes", measured, figures(measured))


def figures(results: dict[str, Any]) -> list[Figure]:
    found = []
    for name, row in results["rows"].items():
        for column, values in row.items():
            if column == "core s":
                found.append(Figure("new_classes", name, column, statistics.median(values), "s"))
            else:
                found.append(over_seeds("new_classes", name, column, values, "%"))
    return found


def measure(folder: Path, seed: int, old: int, new: int) -> Iterator[tuple[str, dict[str, float]]]:
    """Yields what each way reaches, in %, and its core seconds."""
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        images(folder, place, seed, old, new)
        first, seconds = trained(place, "six", seed, FIRST)
        yield BEFORE, {"old classes": accuracy(recalls(first, OLD)), "core s": seconds}
        from_first = SECOND | {"model.backbone.weights": str(first)}
        for name, (root, overrides) in ways(place).items():
            run, seconds = trained(place, root, seed, from_first | overrides, name)
            each = recalls(run, (*OLD, *NEW))
            groups = {"old classes": OLD, "new classes": NEW, "all": (*OLD, *NEW)}
            scores = {
                column: accuracy([each[(*OLD, *NEW).index(k)] for k in names]) for column, names in groups.items()
            }
            yield name, scores | {"core s": seconds}


def ways(place: Path) -> dict[str, tuple[str, dict[str, Any]]]:
    """Returns the set and the options of the second training, by its name."""
    ten = {"data.classes": [*OLD, *NEW]}
    replay = {"data.replay": str(place / "six" / "train"), "data.replay_shots": REPLAYED, "data.balanced": True}
    return {
        "retrain the head": ("four", {**ten, "model.tuning.phases": [{"train": ["head"]}]}),
        "fine-tune": ("four", ten),
        "rows kept": ("four", {**ten, **KNOWN}),
        "rows kept, LwF": ("four", {**ten, **KNOWN, **LWF}),
        "rows kept, LwF, replay": ("four", {**ten, **KNOWN, **LWF, **replay}),
        "joint": ("ten", {**ten, **KNOWN}),
    }


def images(folder: Path, place: Path, seed: int, old: int, new: int) -> None:
    """Makes the sets `six`, `four` and `ten` in `place`: training images of so many classes, and test images of six or
    all."""
    rng = np.random.default_rng(seed)
    for name in (*OLD, *NEW):
        count = old if name in OLD else new
        _copy(folder / "train.zip", name, place / "train" / name, lambda files, n=count: rng.permutation(files)[:n])
        _copy(folder / "test.zip", name, place / "test" / name, lambda files: files[:TESTED])
    for root, classes, tested in (("six", OLD, OLD), ("four", NEW, (*OLD, *NEW)), ("ten", (*OLD, *NEW), (*OLD, *NEW))):
        for split, source, names in (("train", "train", classes), ("val", "test", tested)):
            (place / root / split).mkdir(parents=True)
            for name in names:
                (place / root / split / name).symlink_to(place / source / name)


def trained(place: Path, root: str, seed: int, overrides: dict[str, Any], name: str = "first") -> tuple[Path, float]:
    """Returns the run, and the core seconds that it takes."""
    run, start = place / "runs" / name.replace(" ", "_"), core_seconds()
    whole = {
        "data.root": str(place / root), "data.batch_size": 64, "data.num_workers": 0, "data.cache_dir": str(place),
        "seed_everything": seed, "trainer.precision": "32",
        "trainer.check_val_every_n_epoch": overrides["trainer.max_epochs"],
        "tracking.report": False, "tracking.decisions": False, "tracking.charts": False, "tracking.images": 0,
        "tracking.keep_head": False,
    }  # fmt: skip
    resnet_tl.fit("classify/cifar10_resnet20_scratch", run=run, **{**whole, **overrides})
    return run, core_seconds() - start


def recalls(run: Path, classes: Sequence[str]) -> list[float]:
    """Returns the share of the test images of each class that the network gets right."""
    table = {row["class"]: row["recall"] for row in resnet_tl.evaluate(run)["per_class"]}
    return [table[name] for name in classes]


def accuracy(shares: Sequence[float]) -> float:
    return 100 * statistics.mean(shares)


def _copy(archive: Path, name: str, folder: Path, choose: Any) -> None:
    """Copies the images of a class that `choose` takes from their sorted names."""
    folder.mkdir(parents=True)
    with zipfile.ZipFile(archive) as file:
        files = sorted(member for member in file.namelist() if f"/{name}/" in member and not member.endswith("/"))
        for member in choose(files):
            (folder / Path(member).name).write_bytes(file.read(str(member)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks new_classes")
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--write", action="store_true", help="writes benchmarks/results/new_classes.json")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--old", type=int, default=750, help="training images of each old class")
    parser.add_argument("--new", type=int, default=500, help="training images of each new class")
    return parser
