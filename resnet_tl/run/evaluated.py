"""What is evaluated: a checkpoint, folds together, a published folder, or an exported file."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, TypeAlias, cast

from resnet_tl import checkpoint
from resnet_tl.checkpoint import Bundle
from resnet_tl.errors import RecipeError
from resnet_tl.models.network import Network
from resnet_tl.prediction.exported.load import find_exported, read_exported
from resnet_tl.prediction.exported.network import AnyNetwork, ExportedNetwork
from resnet_tl.prediction.members import check_trust, read_network
from resnet_tl.prediction.published import find_published, read_published
from resnet_tl.tasks.base import Task
from resnet_tl.tracking.run_folder import RunFolder

Opened: TypeAlias = tuple[ExportedNetwork, Bundle]
"""An exported file that is open already, as `read_exported` returns it."""

CALIBRATED = (
    "this file's probabilities are calibrated, and its calibration error, AUROC and average precision are theirs; "
    "`validate` of the checkpoint scores those before calibration, which name the same classes"
)


class Evaluated(NamedTuple):
    """A trained network.

    bundle: of folds, that of the first.
    network: None for the one that the recipe of the bundle builds, with its weights.
    folds: the folder whose networks are evaluated together.
    """

    bundle: Bundle
    network: AnyNetwork | None = None
    folds: RunFolder | None = None

    @property
    def exported(self) -> bool:
        return isinstance(self.network, ExportedNetwork)

    @property
    def notes(self) -> list[str]:
        """Returns what distinguishes its scores from those of its checkpoint."""
        calibrated = isinstance(self.network, ExportedNetwork) and self.network.description.calibrated
        return [CALIBRATED] if calibrated else []

    def __str__(self) -> str:
        if self.folds is not None:
            return f"{self.folds.path}: {len(checkpoint.members(self.folds.path))} folds together"
        return f"{self.bundle.path}: epoch {self.bundle.epoch + 1}, step {self.bundle.step}"

    def put_into(self, task: Task) -> None:
        """Gives the task this network.

        Raises:
            RecipeError: its weights are those of another network than the task's.
        """
        task.new_classes = list(self.bundle.new_classes)
        if self.network is not None:
            task.network = cast(Network, self.network)  # an exported one runs in its place, without a loss
            return
        task.network.set_preprocessing(self.bundle.preprocessing)
        try:
            task.network.load_state_dict(self.bundle.state_dict)
        except RuntimeError as error:
            raise RecipeError(
                f"{self.bundle.path}: its weights do not fit this network; do not change model.* here"
            ) from error


def open_evaluated(source: str | Path | Opened, trust_code: bool) -> Evaluated:
    """Opens a run folder (its best checkpoint), a checkpoint, folds, a published folder or an exported file.

    Raises:
        WeightsError: there is none of these, it is damaged, or it names code that is not trusted.
    """
    found = _open(source, trust_code)
    bundle = found.bundle
    check_trust([bundle.recipe.get(name) for name in ("model", "data")], bundle.path, trust_code)
    return found


def _open(source: str | Path | Opened, trust_code: bool) -> Evaluated:
    if isinstance(source, tuple):
        network, bundle = source
        return Evaluated(bundle, network)
    if (exported := find_exported(source)) is not None:
        network, bundle = read_exported(exported, trust_code)
        return Evaluated(bundle, network)
    if (published := find_published(source)) is not None:
        return Evaluated(read_published(published))
    if checkpoint.members(source) == [Path(source)]:
        return Evaluated(checkpoint.read(source))
    bundle, ensemble = read_network(source, trust_code)
    return Evaluated(bundle, ensemble, RunFolder(Path(source)))
