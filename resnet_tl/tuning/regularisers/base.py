"""The contract of regularisers: terms of the loss, or changes of the network, that keep fine-tuning near what the
loaded weights know. Imports no torch: a plan names them.

`resnet_tl.tuning.regularisers.collection` calls them; they know no network by type.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from resnet_tl.errors import RecipeError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from resnet_tl.structures.records import Features


@dataclass(frozen=True)
class Start:
    """A module with its loaded weights, before training changes them.

    stages: by name, input to output.
    loaded: names of the stages whose weights were loaded.
    """

    module: Any
    stages: Mapping[str, Sequence[nn.Module]]
    loaded: Sequence[str]

    @property
    def body(self) -> list[str]:
        """The names of the stages before the head."""
        return list(self.stages)[:-1]

    def modules_until(self, stage: str | None = None) -> list[nn.Module]:
        """Returns the modules of the stages up to `stage`, which is among them; None: all before the head."""
        names = self.body if stage is None else self.body[: self.body.index(stage) + 1]
        return [module for name in names for module in self.stages[name]]


@dataclass(frozen=True)
class Seen:
    """What a network computed inside, on its way to its outputs.

    maps: the outputs of the stages that ran, by name; `[N, C, H, W]` of a trunk's.
    features: what the classifier reads, before dropout, `[N, C]`; None if that is not watched.
    outputs: of the classifier, logits `[N, K]`; None if they are not watched.
    """

    maps: dict[str, Tensor]
    features: Tensor | None
    outputs: Tensor | None = None


@dataclass(frozen=True)
class Taught:
    """What a teacher computes of the images of a batch, without a graph.

    outputs: logits `[N, K]` of the data's classes; None if nobody needs them.
    features: what its classifier reads, `[N, C]`, or the maps `[N, C, H, W]` of a stage, or of a detector's levels by
        name; None if nobody needs them.
    """

    outputs: Tensor | None
    features: Tensor | dict[str, Tensor] | None


@dataclass(frozen=True)
class Step:
    """A training batch, or micro-batch.

    images: normalised, `[N, C, H, W]`, or the frozen stages' cached features of them.
    targets: as the loss takes them.
    network: computed by the network that is trained, with its graph. Stages that are frozen from the input on are not
        among the maps.
    source: computed by the network as it was loaded, without a graph; None unless a regulariser `reads_images`.
    taught: computed by the teacher, if there is one. It and `network` then begin with the images that have targets, and
        those without follow; no other regulariser sees these.
    unlabelled: images without targets per image that has one, in the batch that a micro-batch is a part of.
    """

    images: Tensor | Features
    targets: Any
    network: Seen
    source: Seen | None
    taught: Taught | None = None
    unlabelled: float = 0.0

    @property
    def images_of_whole(self) -> float:
        """By which a sum over all images is divided, so that those of micro-batches, weighted by their images with
        targets, add up to the mean over the batch."""
        return len(self.targets) * (1 + self.unlabelled)


class Regulariser:
    """Base of regularisers; a subclass overrides what it needs. One object serves one fit. A recipe names your own
    class by its import path; nothing is registered.

    Attributes:
        name: of its term: `train/<name>` in the metrics.
        label: what it is called in messages.
        other_weights: what is wrong where a run resumes with another `digest`.
        reads: what of the network it looks at in training: some of `maps`, `features`, `outputs`, or nothing.
        source: whether it needs, in phases in which it `reads_images`, what the loaded network computes of a batch.
        splits: whether its term of a batch is the mean of those of micro-batches, weighted by images.
        undecayed: stages without weight decay.
        layers: trained at the head's rate, and stored for a resume; not part of the network.
    """

    name: str
    reads: Collection[str] = ()
    source: bool = False
    splits: bool = True
    undecayed: Sequence[str] = ()
    layers: nn.Module | None = None

    @property
    def label(self) -> str:
        return f"tuning.regularisers: {type(self).__name__}"

    @property
    def other_weights(self) -> str:
        return (
            f"{type(self).__name__} regularises towards the weights that the run started from, but other weights are "
            "loaded now; name the same backbone.weights"
        )

    def start(self, start: Start) -> None:
        """Stores what it needs of the loaded weights. Called in each fit, also of a run that resumes, before a
        checkpoint is loaded.

        Raises:
            RecipeError: the module does not have what it needs.
        """

    def begin(self, module: Any, batches: Iterable[tuple[Tensor, Any]] | None) -> None:
        """Called before the first training step of a fit, after a checkpoint is loaded.

        Args:
            batches: features `[N, C]` of all training images, each once, and their targets, computed as they are asked
                for by the network as it is, in eval mode; None where the data has no such order.
        """

    def reads_images(self) -> bool:
        """Whether the current phase needs what the loaded network computes of each batch: `step.source`."""
        return False

    def penalty(self, step: Step) -> Tensor | None:
        """Returns its term of the loss, a scalar in fp32 (fp64 for a network in fp64); None if it has none in this
        phase. Called outside of autocast, with features in fp32 and maps as they are."""
        return None

    def add_gradients(self) -> None:
        """Adds gradients that do not depend on the batch, before an optimizer step."""

    def value(self) -> Tensor | None:
        """Returns the penalty, for the log, of a regulariser that adds gradients."""
        return None

    def finish(self) -> None:
        """Undoes its changes of the network at the end of a fit."""

    def digest(self) -> str | None:
        """Returns a digest of what it holds of the loaded weights, next to `source`: checkpoints do not store them."""
        return None

    def state_dict(self) -> dict[str, Any]:
        """Returns what a run resumes by, equal on all ranks: tensors and plain Python."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        pass

    def check_loaded(self, start: Start) -> None:
        """Raises RecipeError if no weights were loaded."""
        if not start.loaded:
            raise RecipeError(
                f"tuning.regularisers: {type(self).__name__} pulls towards loaded weights, but none were loaded: name "
                "backbone.weights"
            )

    def check_one_class(self, start: Start) -> None:
        """Raises RecipeError if images have several labels."""
        if start.module.multi_label:
            raise RecipeError(
                f"tuning.regularisers: {type(self).__name__} needs one class per image, but model.head.multi_label is "
                "true"
            )


def learns(modules: Iterable[nn.Module]) -> bool:
    """Returns whether anything in these modules is trained in the current phase."""
    return any(parameter.requires_grad for module in modules for parameter in module.parameters())
