"""Quantises an OpenVINO model to 8-bit integers by NNCF, after training, and measures what that costs."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict, dataclass
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_tl.errors import RunError
from resnet_tl.export import openvino
from resnet_tl.export.proof import milliseconds
from resnet_tl.prediction.exported.openvino import DESCRIPTION, MODEL, read_model, without_telemetry
from resnet_tl.prediction.inputs import spread
from resnet_tl.prediction.load import AnyPredictor, load
from resnet_tl.run.build import Overrides
from resnet_tl.run.evaluate import evaluate_run
from resnet_tl.run.evaluated import open_evaluated
from resnet_tl.run.evaluation_recipe import build_evaluation, recipe_for

PACKAGES = (*openvino.PACKAGES, "nncf")
"""What quantises."""
IMAGES = 300
"""As many of training show the ranges of all maps."""
LIMIT = 0.02
"""By how much the score may fall, where nothing else is asked for: 2 points."""
WEIGHTED = ("Convolution", "ConvolutionBackpropData", "GroupConvolution", "MatMul")


@dataclass(frozen=True)
class Cost:
    """What quantisation costs.

    images: of training, by which it was done.
    metric: the score that runs are compared by, as validation logs it. before, after: in fp32, and in 8 bits.
    limit: by how much the score may fall.
    milliseconds: of one image in the network alone, median: in fp32, and in 8 bits.
    """

    images: int
    metric: str
    before: float
    after: float
    limit: float
    milliseconds: tuple[float, float]

    @property
    def holds(self) -> bool:
        return self.before - self.after <= self.limit

    @property
    def report(self) -> str:
        return f"quantised by {self.images} training images\n{self}"

    @property
    def fault(self) -> str:
        return f"it loses more than {100 * self.limit:g} points ({self}); allow more by --max-loss"

    def __str__(self) -> str:
        points, times = 100 * (self.after - self.before), "{:.1f} -> {:.1f} ms".format(*self.milliseconds)
        return f"{self.metric} {self.before:.4f} -> {self.after:.4f} ({points:+.2f} points), {times}"


def training_images(checkpoint: str | Path, overrides: Overrides, *, trust_code: bool = False) -> list[str]:
    """Returns up to `IMAGES` images that a checkpoint was trained on, spread evenly.

    Args:
        overrides: of its recipe.

    Raises:
        DataError: the images are not there.
        RunError: none were trained on, or none are left for validation, which is to measure the cost.
    """
    evaluated = open_evaluated(checkpoint, trust_code)
    data, _ = build_evaluation(recipe_for(evaluated, [], overrides), evaluated)
    for split, use in (("train", "quantised by"), ("val", "measured on")):
        if split not in data.listings:
            raise RunError(
                f"int8 is {use} the images of the split {split}, and {data.root} has {', '.join(data.listings)} only: "
                "name images with both, --data.root PATH"
            )
    return [sample.path for sample in spread(data.listings["train"], IMAGES)]


def write_int8(full: Path, images: Sequence[str], overrides: Overrides, limit: float, path: Path) -> Cost:
    """Writes a folder like that of `write_openvino`, whose convolutions compute in 8 bits.

    Args:
        full: the folder of the fp32 model.
        images: see `training_images`.
        overrides: of the recipe by which both are evaluated.
        limit: see `Cost`.
    """
    predictor, model = load(full, trust_code=True), read_model(full / MODEL)
    metric, before = _score(full, overrides)
    quantised = _quantised(model, _batches(predictor, images), len(images))
    with TemporaryDirectory() as folder:
        trial = Path(folder) / "int8"
        openvino.save(quantised, trial)
        _, after = _score(trial, overrides)
        times = milliseconds(predictor, images[0]), milliseconds(load(trial, trust_code=True), images[0])
    cost = Cost(len(images), metric, before, after, limit, times)
    about = json.loads(model.get_rt_info(DESCRIPTION).value)
    quantised.set_rt_info(json.dumps(about | {"quantised": asdict(cost)}), DESCRIPTION)
    openvino.save(
        quantised,
        path,
        f"Its convolutions compute in 8 bits, quantised by {len(images)} training images. What that costs on the "
        f"validation images, and gains on the processor where it was written: {cost}.",
    )
    return cost


def _score(folder: Path, overrides: Overrides) -> tuple[str, float]:
    with _quiet():
        result = evaluate_run("val", folder, [], overrides, trust_code=True)  # its checkpoint was trusted
    metric = f"val/{result['headline']}"
    return metric, result["metrics"][metric]


def _batches(predictor: AnyPredictor, images: Sequence[str]) -> Iterator[NDArray[np.uint8]]:
    """Yields images one by one as the network takes them, `[1, C, H, W]`; skips those that cannot be read."""
    for batch in predictor.loader.batches(images, 1, "skip"):
        if batch:
            yield predictor.stack(batch).numpy()


def _quantised(model: Any, images: Iterable[NDArray[np.uint8]], count: int) -> Any:
    """Returns an OpenVINO model in 8 bits, with ranges from at most `count` images."""
    with _quiet():
        with without_telemetry():
            import nncf

        nncf.set_log_level(logging.ERROR)
        ignored = nncf.IgnoredScope(names=list(_ignored(model)), validate=False)
        return nncf.quantize(model, nncf.Dataset(images), subset_size=count, ignored_scope=ignored)


def _ignored(model: Any) -> Iterator[str]:
    """Yields the operations that stay in fp32: those after the last convolutions, and those on anything but maps
    `[N, C, H, W]`. For the coordinates of boxes, 8 bits are too coarse."""
    leading: set[str] = set()
    for node in reversed(model.get_ordered_ops()):
        followers = [target.get_node() for output in node.outputs() for target in output.get_target_inputs()]
        leads = any(each.get_type_name() in WEIGHTED or each.get_friendly_name() in leading for each in followers)
        if leads:
            leading.add(node.get_friendly_name())
        if node.get_type_name() in (*WEIGHTED, "Constant", "Parameter", "Result"):
            continue
        rank = node.get_output_partial_shape(0).rank
        if not leads or rank.is_dynamic or rank.get_length() != 4:
            yield node.get_friendly_name()


@contextmanager
def _quiet() -> Iterator[None]:
    """Hides progress bars, the notes of evaluations, and what torch reports about compilers where NNCF imports it."""
    log = logging.getLogger("torch.utils.cpp_extension")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with redirect_stdout(StringIO()), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "overflow encountered in reduce", RuntimeWarning)  # in NNCF's statistics
            yield
    finally:
        log.setLevel(level)
