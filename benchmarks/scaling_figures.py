"""Figures of docs/scaling.md: what `benchmarks.scaling` measured, and what the model makes of it.

Others' figures in here are of MLPerf Training 3.0 (github.com/mlcommons/training_results_v3.0: logs of ResNet-50, and
descriptions of systems) and of Lambda (github.com/lambdal/deeplearning-benchmark: H100_80GB_SXM5 in
pytorch/pytorch-train-throughput-v2-fp16.csv, batches in pytorch/scripts/config_v2/config_pytorch_80GB.sh).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benchmarks.figures import Figure
from benchmarks.report import table
from benchmarks.scaling_model import BUCKET, GBIT, Cluster, Network, minutes_of, step, step_on_cores

WITHIN = 15
"""%: what predictions were to be off by, at most."""
TRAIN, IMAGE_BYTES = 1_281_167, 147_897_477_120 / 1_281_167
"""Of ImageNet: training images, and the mean of their bytes (`ILSVRC2012_img_train.tar`)."""


@dataclass(frozen=True)
class Submission:
    """A result of MLPerf: medians over epochs and the middle of five runs, from their logs; minutes as published."""

    devices: int
    batch: int
    images_per_s: float
    epochs: int
    minutes: float

    @property
    def step(self) -> float:
        return self.devices * self.batch / self.images_per_s


MLPERF = [
    Submission(8, 400, 56_090, 35, 13.466),
    Submission(64, 50, 294_759, 35, 2.664),
    Submission(512, 40, 2_245_152, 50, 0.509),
]
PER_IMAGE = (MLPERF[0].step - MLPERF[1].step) / (MLPERF[0].batch - MLPERF[1].batch)
FIXED = MLPERF[0].step - MLPERF[0].batch * PER_IMAGE
"""Seconds by which the steps of the first two are what they are."""
PYTORCH = 8 / 22_063 - FIXED / 1280
"""Seconds of an image on one of eight H100, in batches of 1,280: NVIDIA's ResNet-50 for PyTorch in mixed precision."""
CORES, LINK = 112, 450e9
"""Of a machine of eight H100: cores, and bytes/s of a device's NVLink in each direction."""
NETWORKS = (25, 100, 400, 3200)
"""Gbit/s of a machine; the last is that of the submissions, 400 for each device."""


def figures(results: dict[str, Any]) -> list[Figure]:
    return [*constants(results), *checks(results), *limits(results), *mlperf(), *times(results)]


def constants(results: dict[str, Any]) -> list[Figure]:
    setting, full = results["setting"], at_full_load(results)
    net = f"{setting['variant']}, {setting['batch']} images of {setting['size']} pixels"
    shards = results["shards"]
    rows = [
        (f"step of {net}, one core at work", 1e3 * by_ranks(results)[1]["compute"], "ms"),
        (f"the same, all cores at work ({full['ranks']})", 1e3 * full["compute"], "ms"),
        ("gradients of it, in 32 bits", results["gradients"][setting["variant"]] / 1e6, "MB"),
        ("gradients of ResNet-50, in 32 bits", results["gradients"]["resnet50"] / 1e6, "MB"),
        ("image in its file", results["image_bytes"] / 1e3, "kB"),
        ("images decoded and augmented to 224 pixels by a core", 1 / results["decode"], "images/s"),
        (f"images decoded and augmented to {setting['size']} pixels by a core, all at work", 1 / full["decode"], ""),
        (
            "shards read by a core, cached by the system, checksums verified",
            shards["bytes"] / shards["seconds"] / 1e6,
            "MB/s",
        ),
    ]
    for each in results["ranks"]:
        if each["ranks"] > 1:
            rows.append((f"all-reduce of {each['ranks']} processes: latency", 1e3 * each["all_reduce_small"], "ms"))
            rate = bytes_per_s(each, results["gradients"][setting["variant"]]) / 1e6
            rows.append((f"all-reduce of {each['ranks']} processes: in and out of each", rate, "MB/s"))
    return [Figure("scaling_constants", row, "measured", value, unit) for row, value, unit in rows]


def checks(results: dict[str, Any]) -> list[Figure]:
    """Predictions for processes of this machine, and their steps."""
    cells = []
    for each in results["ranks"]:
        for name, loaded in (("images in memory", False), ("from a loader", True)):
            if each["ranks"] == 1 and not loaded:
                continue  # its step is the constant
            predicted, measured = predict(results, each, loaded), each["step_loaded" if loaded else "step"]
            many = "1 process" if each["ranks"] == 1 else f"{each['ranks']} processes"
            cells += against("scaling_check", f"{many}, {name}", 1e3 * predicted, 1e3 * measured, "ms")
    return cells


def predict(results: dict[str, Any], each: dict[str, Any], loaded: bool) -> float:
    """Seconds of a step of the processes of `each`, from what they measured apart."""
    ranks, cores, batch = each["ranks"], results["machine"]["cores"], results["setting"]["batch"]
    alone = ranks * (2 if loaded else 1) == 1 or cores == 1
    core = by_ranks(results)[1] if alone else at_full_load(results)
    exchange = 0.0
    if ranks > 1:
        size = results["gradients"][results["setting"]["variant"]]
        exchange = each["all_reduce"] + each["all_reduce_small"] * int(size / BUCKET)
    return step_on_cores(core["compute"], exchange, loaded * batch * core["decode"], ranks, cores)


def by_ranks(results: dict[str, Any]) -> dict[int, dict[str, Any]]:
    return {each["ranks"]: each for each in results["ranks"]}


def at_full_load(results: dict[str, Any]) -> dict[str, Any]:
    """What as many processes measured as there are cores, or the most that are fewer."""
    return max(
        (each for each in results["ranks"] if each["ranks"] <= results["machine"]["cores"]),
        key=lambda each: each["ranks"],
    )


def bytes_per_s(each: dict[str, Any], size: float) -> float:
    """Into, and as many out of, each process, once an all-reduce is under way."""
    return 2 * size * (each["ranks"] - 1) / each["ranks"] / (each["all_reduce"] - each["all_reduce_small"])


def limits(results: dict[str, Any]) -> list[Figure]:
    """Predictions for machines of eight H100, by their number and network: images/s that each part allows for."""
    cells = []
    for name, network in networks(results).items():
        for published in MLPERF:
            images = published.devices * published.batch
            for gbit in NETWORKS:
                row = f"{published.devices} devices, {gbit:,} Gbit/s"
                found = step(network, cluster(published.devices, gbit), published.batch)
                alone = {"devices": found.devices, "with all-reduce": found.exchange, "loader": found.loader}
                for column, seconds in {**alone, "reads": found.reads}.items():
                    cells.append(Figure(name, row, column, images / seconds, "images/s"))
                for column, streamed in (("from a disk", False), ("streamed", True)):
                    rate, limit = images / found.seconds(streamed), found.limit(streamed)
                    cells.append(Figure(name, row, column, rate, f"({limit})"))
    return cells


def networks(results: dict[str, Any]) -> dict[str, Network]:
    """ResNet-50 at 224 pixels, at others' rates, with images decoded by our loader; by the tables of `limits`."""
    rest = (results["decode"], results["gradients"]["resnet50"], IMAGE_BYTES)
    return {"scaling_pytorch": Network(FIXED, PYTORCH, *rest), "scaling_mxnet": Network(FIXED, PER_IMAGE, *rest)}


def cluster(devices: int, gbit: float) -> Cluster:
    return Cluster(devices // 8, 8, CORES, gbit * GBIT, LINK)


def mlperf() -> list[Figure]:
    """What the submissions' logs say, and what the model says with the constants from the first two."""
    network, cells = Network(FIXED, PER_IMAGE, 0, 0, 0), []
    for published in MLPERF:
        seconds = network.compute(published.batch)
        row = f"{published.devices} devices, {published.batch} images each"
        if published not in MLPERF[:2]:  # whose steps are the constants
            cells += against("scaling_mlperf", f"{row}: step", 1e3 * seconds, 1e3 * published.step, "ms")
        minutes = minutes_of(published.epochs, TRAIN, published.devices * published.batch, seconds)
        cells += against("scaling_mlperf", f"{row}: {published.epochs} epochs", minutes, published.minutes, "min")
    return cells


def times(results: dict[str, Any]) -> list[Figure]:
    """Predicted minutes of training on ImageNet, images on the machines' disks, 400 Gbit/s a machine."""
    cells = []
    for rate, network in zip(("PyTorch's rate", "MLPerf's rate"), networks(results).values(), strict=True):
        for epochs in (35, 90):
            for published in MLPERF:
                found = step(network, cluster(published.devices, 400), published.batch)
                seconds, images = found.seconds(streamed=False), published.devices * published.batch
                minutes = minutes_of(epochs, TRAIN, images, seconds)
                row = f"{rate}, {epochs} epochs"
                cells.append(Figure("scaling_minutes", row, f"{published.devices} devices", minutes, "min"))
    return cells


def against(table: str, row: str, predicted: float, measured: float, unit: str) -> list[Figure]:
    return [
        Figure(table, row, "predicted", predicted, unit),
        Figure(table, row, "measured", measured, unit),
        Figure(table, row, "off by", 100 * abs(predicted / measured - 1), "%", WITHIN),
    ]


def report(results: dict[str, Any]) -> str:
    """The tables as text."""
    tables: dict[str, list[Figure]] = {}
    for figure in figures(results):
        tables.setdefault(figure.table, []).append(figure)
    return "\n\n".join(f"{name}\n{table(figures)}" for name, figures in tables.items())
