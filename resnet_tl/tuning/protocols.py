"""What the engine asks of a Trainer, a network and a data module. It imports none of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from resnet_tl.structures.records import Batch, Features, Level
    from resnet_tl.tuning.feature_file import FeatureFile
    from resnet_tl.tuning.regularisers.base import Taught


class Strategy(Protocol):
    @property
    def root_device(self) -> torch.device: ...

    def batch_to_device(self, batch: Any) -> Any: ...

    def reduce_boolean_decision(self, decision: bool, all: bool = True) -> bool: ...


class Precision(Protocol):
    def forward_context(self) -> AbstractContextManager[Any]: ...


class Trainer(Protocol):
    """Lightning's Trainer during `fit`."""

    @property
    def strategy(self) -> Strategy: ...

    @property
    def precision_plugin(self) -> Precision: ...

    @property
    def precision(self) -> str: ...

    @property
    def local_rank(self) -> int: ...

    @property
    def enable_validation(self) -> bool: ...

    @property
    def train_dataloader(self) -> Any: ...

    @property
    def num_training_batches(self) -> float: ...

    @property
    def estimated_stepping_batches(self) -> float: ...

    @property
    def lr_scheduler_configs(self) -> Sequence[Any]: ...

    @property
    def optimizers(self) -> Sequence[torch.optim.Optimizer]: ...

    accumulate_grad_batches: int


class Network(Protocol):
    """A network that can be cut in two between its stages, as `resnet_tl.models.network.Network`."""

    prefix: Callable[[Tensor], Features] | None
    head: Any
    """A `SolvableHead`, if its `solvable` is true."""

    def stages(self) -> dict[str, list[nn.Module]]: ...

    def cuts(self) -> list[str]:
        """Returns the stages after which it can be cut, input to output."""

    def maps_after(self, stage: str, images: Tensor) -> dict[str, Tensor]:
        """Runs the stages up to `stage`; returns every map that a later one reads."""

    def folded_until(self, stage: str) -> Any:
        """Returns a copy with folded batch norms, which runs `maps_after(stage, images)`."""

    def normalise(self, images: Tensor, sizes: Tensor | None = None) -> Tensor: ...

    def condense(self, features: Features) -> Features:
        """Returns the features as they are cached: smaller where the next stage loses nothing by it."""

    def condensed_after(self, stage: str) -> str:
        """Returns the name of what `condense` does to features after `stage`, or ""."""


class SolvableHead(Protocol):
    """A linear classifier of features that are fixed while the stages before it are, as
    `resnet_tl.models.heads.classification.LinearHead`."""

    solvable: bool

    def features(self, maps: dict[str, Tensor]) -> Tensor:
        """Returns the classifier's inputs `[N, C]`."""

    def solve(self, features: Tensor, targets: Tensor, seed: int) -> Any:
        """Sets the classifier's weights from features `[V, N, C]` of V views of N images; returns `l2` and `score`."""


class Losses(Protocol):
    """A module whose training step can be compiled, as `resnet_tl.tasks.base.Task`."""

    compiled: Any
    """What runs in the place of `losses` in training, or None."""
    network: Any
    """With `run`, `features(images)`, the stages before the head, and `head.fixed_shapes(targets, images)`."""

    def losses(self, images: Tensor | Features, sizes: Tensor | None, targets: Any) -> dict[str, Tensor]:
        """Returns the terms of the loss."""


class Regularised(Losses, Protocol):
    """A module whose network regularisers may look into, as `resnet_tl.tasks.base.Task`. It calls
    `regularisers.add_to` around its losses."""

    regularisers: Any
    """The `Regularisers` of the fit, or None."""
    regulariser_layers: nn.ModuleDict
    """Layers of regularisers by name, which belong to the stage `head`."""
    teacher: TeacherNetwork | None
    """What `tuning.teacher` names; no module, so that it is in no state and no optimizer."""

    def classifier_input(self) -> nn.Module | None:
        """Returns the module whose input is the features `[N, C]` of the classifier; None: there is no such vector.
        Where there is one, `network.head.features(maps)` computes them."""

    def classifier_layer(self) -> nn.Linear:
        """Returns the classifier, if there is a `classifier_input`."""

    def old_classifier(self, reader: str) -> nn.Linear:
        """Returns the classifier that the weight file has for its own classes, if there is a `classifier_input`.

        reader: the name of who needs it, for the error if there is none.
        """

    @property
    def multi_label(self) -> bool:
        """Whether images have any number of classes, if there is a `classifier_input`."""

    def mixes(self) -> str | None:
        """Returns the setting that blends the images of a training batch, or None."""


class TeacherNetwork(Protocol):
    """A trained network, or several as one, that regularisers learn from: `teacher` of a `Regularised` module."""

    @property
    def digest(self) -> str:
        """Of everything that its outputs and features depend on, except for the images."""

    @property
    def channels(self) -> int:
        """Of its features."""

    @property
    def levels(self) -> Sequence[Level] | None:
        """Of a detector, those of its pyramid that another can imitate; None of a classifier."""

    @property
    def description(self) -> str:
        """What it is, for the log."""

    def __call__(self, images: Tensor, *, outputs: bool, features: bool) -> Taught:
        """Returns its outputs, its features or both, of images `[N, C, H, W]` normalised for the module's network,
        computed on their device, in eval mode."""


class CacheableImages(Protocol):
    """The images of a split in the order of their listing, the same in every epoch."""

    name: str
    folder: Path

    def __len__(self) -> int: ...

    def key(self) -> str:
        """Identifies the files, their content, and everything that is done to them."""

    def batches(self, view: int) -> Iterable[Batch]:
        """Returns all images, each in its fixed view number `view`."""


class CachingData(Protocol):
    """A data module whose loaders can return cached features in place of images, as those of `resnet_tl.data`."""

    seed: int

    def fixed_images(self, split: Literal["train", "val"], *, evaluated: bool = False) -> CacheableImages:
        """Returns the images of a split; of `train` as training sees them, or as evaluation does. Where features are in
        use, their batches hold these."""

    def use_features(self, split: Literal["train", "val"], features: FeatureFile) -> None: ...

    def use_images(self) -> None: ...


class ResizingData(Protocol):
    """A data module whose training images can have another size in a phase."""

    image_size: int
    """Of evaluation, and of training where a phase has no size of its own."""

    def use_image_size(self, size: int | None) -> None:
        """Makes training images of `size` from the next epoch on; None: of `image_size`."""


class AugmentingData(Protocol):
    """A data module whose training images can be as evaluation sees them in a phase."""

    def check_unaugmented(self, reader: str) -> None:
        """Raises RecipeError where `reader`, a setting, cannot have the training images as evaluation sees them."""

    def use_augmentation(self, augment: bool) -> None:
        """Makes training images augmented, or as evaluation sees them, from the next epoch on."""
