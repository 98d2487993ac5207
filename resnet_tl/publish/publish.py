"""A run as a folder that others load: weights, configuration, model card."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from resnet_tl.checkpoint import read
from resnet_tl.data.listings.splits import split_sizes
from resnet_tl.errors import RunError
from resnet_tl.export.safetensors import write_folder
from resnet_tl.prediction.exported.load import refuse_exported
from resnet_tl.prediction.load import predictor_of, task_of
from resnet_tl.prediction.members import build_network
from resnet_tl.prediction.writers.output import new_folder
from resnet_tl.publish.card import Card, write_card
from resnet_tl.publish.examples import write_examples
from resnet_tl.tracking.predictions import load_evaluation
from resnet_tl.tracking.run_folder import RunFolder


@dataclass(frozen=True)
class Published:
    """in_timm: whether timm builds the network and gives equal logits."""

    path: Path
    in_timm: bool


def publish(
    run: str | Path,
    folder: Path,
    *,
    name: str | None = None,
    licence: str | None = None,
    with_images: bool = False,
    trust_code: bool = False,
) -> Published:
    """Writes `folder`, whole or not at all. It holds no path of this machine, and images only if asked for.

    Args:
        run: a run folder (its best checkpoint) or a checkpoint.
        name: by which it will be loaded, in the card: `hf://USER/NAME`; None for the folder's.
        licence: of the weights, by the hub's short name (`apache-2.0`).
        with_images: add a few validation images with what is predicted for them.

    Raises:
        WeightsError: see `resnet_tl.checkpoint.read`; or `run` is an exported file.
        RunError: `folder` exists or cannot be written; or the network predicts numbers.
    """
    refuse_exported(run)
    saved = read(run)
    network = build_network(saved, trust_code).eval()
    task = task_of(network)
    if task == "regression":
        raise RunError(
            f"{run}: predicts numbers of images, for which the hub has no task; share {saved.path}, which "
            "`resnet_tl.load` reads"
        )
    files = RunFolder(Path(run))
    evaluation = load_evaluation(files.best_predictions) if files.best_predictions.is_file() else None
    trained_on = split_sizes(files.split)["train"] if files.split.is_file() else None
    with new_folder(folder) as part:
        written = write_folder(saved, network, part, name=folder.name, licence=licence)
        examples = []
        if with_images:
            predictor = predictor_of(network, saved, task, trust_code=trust_code)
            examples = write_examples(predictor, evaluation, part)
        card = Card(
            folder.name, name or folder.name, saved, task, evaluation, trained_on, written.in_timm, licence,
            written.started, examples,
        )  # fmt: skip
        write_card(card, part)
    return Published(folder, written.in_timm)
