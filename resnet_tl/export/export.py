"""Exports a checkpoint for other programs, and proves what is written before it appears under its name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from resnet_tl.checkpoint import Bundle
from resnet_tl.errors import RecipeError, RunError
from resnet_tl.export.forms import Subject, Trial, choose_form
from resnet_tl.export.graph import Graph
from resnet_tl.export.int8 import Cost
from resnet_tl.export.proof import Agreement, compare
from resnet_tl.models.ensemble import FusedBoxes
from resnet_tl.models.network import Network
from resnet_tl.prediction.exported.description import TaskName, calibrated_thresholds, describe
from resnet_tl.prediction.inputs import Source, list_images, spread
from resnet_tl.prediction.load import load, predictor_of, task_of
from resnet_tl.prediction.loader import Loader, OnError
from resnet_tl.prediction.members import read_network
from resnet_tl.prediction.videos import Video
from resnet_tl.prediction.writers.output import appearing
from resnet_tl.recipe.shipped import shipped_root
from resnet_tl.structures.records import Preprocessing
from resnet_tl.tracking.predictions import load_evaluation
from resnet_tl.tracking.run_folder import RunFolder

COMPARED = 8
"""Images."""
EXAMPLE = (2, 291, 421)
"""Images, height and width of the batch that graphs of any size are traced with. Every level of a pyramid up to stride
128 has more than one row and column, and none divides a side: tracing drops crops and branches that do nothing here."""

OF_HEAD = ("aligned", "sd", "coverage")
"""Attributes of some heads that a file's description keeps."""


@dataclass(frozen=True)
class Export:
    """A file or folder that agrees with its checkpoint, or costs no more than it may."""

    path: Path
    agreement: Agreement | Cost

    @property
    def bytes(self) -> int:
        """Of all files."""
        files = [each for each in self.path.rglob("*") if each.is_file()] if self.path.is_dir() else [self.path]
        return sum(file.stat().st_size for file in files)


def export(
    run: str | Path,
    out: Path | None = None,
    images: Sequence[str | Path] = (),
    *,
    to: str | None = None,
    compiled: bool = False,
    overrides: Sequence[tuple[str, Any]] = (),
    max_loss: float | None = None,
    trust_code: bool = False,
) -> Export:
    """Writes `out`, unless it differs from the checkpoint on images, or of `int8` its score falls too far.

    Args:
        run: a run folder (its best checkpoint) or a checkpoint.
        out: a new file or folder; None for one in `exports`, in the run folder or next to the checkpoint.
        images: what to compare on, as `predict` takes them; without, images that the run was validated on, or where
            there are none, the project's samples.
        to: the name of a form; None for that of the ending of `out`.
        compiled: of `pt2`: for the processor of this machine alone.
        overrides: of `int8`: of the run's recipe, as `[("data.root", "photos")]`, for the images that it needs.
        max_loss: of `int8`: by how much the score on the validation images may fall; None for 0.02.

    Raises:
        RecipeError: see `choose_form`; or options of another form.
        DataError: an image of `images` cannot be used.
        RunError: `out` exists, what writes it is not installed, the head cannot be exported, or the file differs.
        WeightsError: see `resnet_tl.load`.
    """
    form = choose_form(to, out, compiled)
    form.check()
    trial = Trial(run, overrides, max_loss, trust_code)
    form.check_trial(trial)
    if images and form.evaluated:
        raise RecipeError(f"--images: {form.name} is measured on the validation images; remove it")
    out = out or form.default_path(run)
    bundle, network = read_network(run, trust_code)
    predictor = predictor_of(network, bundle, task_of(network), trust_code=trust_code)
    chosen: list[Source] = []
    if not form.evaluated:  # found before the minutes that some forms take
        candidates = spread(_images(images) if images else validated_images(run), COMPARED)
        chosen = _usable(predictor.loader, candidates, "error" if images else "skip")
    with appearing(out) as part:
        cost = form.write(_subject(bundle, network, predictor.task, trial), part)
        agreement = cost or compare(predictor, load(part, trust_code=True), chosen)  # its code is from here
        if not agreement.holds:
            raise RunError(f"{out}: not written, because {agreement.fault}")
    return Export(out, agreement)


def _subject(bundle: Bundle, network: Network, task: TaskName, trial: Trial) -> Subject:
    if isinstance(network.head, FusedBoxes):
        raise RunError(f"{bundle.path}: the fused boxes of several networks cannot be exported; export one fold")
    graph = Graph(network, task, bundle.decisions.temperature).eval()
    example = torch.zeros(graph.batch or EXAMPLE[0], len(network.mean), *EXAMPLE[1:], dtype=torch.uint8)
    outputs = graph.names(len(graph(example)))
    thresholds = getattr(network.head, "thresholds", None)
    limits = calibrated_thresholds(None if thresholds is None else thresholds.tolist(), bundle.decisions)
    described = replace(bundle, preprocessing=_by_channel(bundle.preprocessing, network))
    of_head: dict[str, Any] = {name: getattr(network.head, name) for name in OF_HEAD if hasattr(network.head, name)}
    if "sd" in of_head:
        of_head["sd"] = of_head["sd"].tolist()
    description = describe(described, task, outputs, limits, graph.batch, **of_head)
    return Subject(bundle, network, graph, example, outputs, description, trial)


def _by_channel(preprocessing: Preprocessing, network: Network) -> Preprocessing:
    """Returns the preprocessing with a mean and deviation for each channel of the network's images; grey images are
    normalised by the means of three."""
    if len(preprocessing.mean) == len(network.mean):
        return preprocessing
    return replace(preprocessing, mean=tuple(network.mean.tolist()), std=tuple(network.std.tolist()))


def validated_images(run: str | Path) -> Sequence[Source]:
    """Returns images that the best epoch of a run was validated on; the project's samples where none are left."""
    folder = RunFolder(Path(run))
    if folder.best_predictions.is_file():
        found = load_evaluation(folder.best_predictions).files()
        if found:
            return found
    return sorted((shipped_root() / "data" / "samples" / "classification" / "val").rglob("*.png"))


def _usable(loader: Loader, images: Sequence[Source], on_error: OnError) -> list[Source]:
    """Returns the images that an exported network takes, of 8 bits.

    Raises:
        RunError: there are none.
        DataError: one cannot be used, and `on_error` is `error`.
    """
    batches = replace(loader, most_bits=8).batches(images, 1, on_error)
    usable = [images[each.index] for batch in batches for each in batch]
    if not usable:
        raise RunError("nothing proves the export: no validation image can be used; name others: --images PHOTOS")
    return usable


def _images(given: Sequence[str | Path]) -> list[Source]:
    return [each for each in list_images(given) if not isinstance(each, Video)]
