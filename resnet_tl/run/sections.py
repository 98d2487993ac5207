"""The sections of a recipe and their keys; importing this makes tasks, heads and data known by their short names."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, Literal

from annotated_types import Ge
from lightning.pytorch import Callback, Trainer

import resnet_tl.data.classification
import resnet_tl.data.detection
import resnet_tl.data.regression
import resnet_tl.data.segmentation
import resnet_tl.data.shards
import resnet_tl.tasks.classification
import resnet_tl.tasks.detection
import resnet_tl.tasks.regression
import resnet_tl.tasks.segmentation  # noqa: F401
from resnet_tl.data.base import ImageData
from resnet_tl.ranges import Fraction, NonNegativeFloat, NonNegativeInt, PositiveFraction, PositiveInt, Seed
from resnet_tl.recipe.docstrings import arguments
from resnet_tl.recipe.schema import Field, Section, fields_of
from resnet_tl.run.acceleration import Acceleration
from resnet_tl.run.data_class import ANY
from resnet_tl.tasks.base import Task
from resnet_tl.tracking.settings import Tracking

RESERVED = {
    "logger", "plugins", "default_root_dir", "use_distributed_sampler", "enable_checkpointing", "enable_progress_bar",
    "enable_model_summary", "enable_autolog_hparams", "fast_dev_run", "barebones", "reload_dataloaders_every_n_epochs",
    "model_registry",
}  # fmt: skip
"""The Trainer's arguments that a recipe cannot set: `build_trainer` sets them, or they would break resuming."""

BENCHMARK = (
    "cuDNN times its algorithms for every new shape of the images (`torch.backends.cudnn.benchmark`); null: on CUDA, "
    "where they have one size: classification, and segmentation while it trains; never with `deterministic`."
)

_OrMinusOne = Annotated[int, Ge(-1)]
_Batches = NonNegativeInt | Fraction | None
_HINTS: dict[str, Any] = {
    "devices": list[NonNegativeInt] | str | _OrMinusOne,
    "num_nodes": PositiveInt | Literal["auto"],
    "callbacks": list[Callback],
    "max_epochs": PositiveInt | None,
    "min_epochs": NonNegativeInt | None,
    "max_steps": PositiveInt | Literal[-1],
    "min_steps": NonNegativeInt | None,
    "limit_train_batches": PositiveInt | PositiveFraction | None,
    "limit_val_batches": _Batches,
    "limit_test_batches": _Batches,
    "limit_predict_batches": _Batches,
    "overfit_batches": NonNegativeInt | Fraction,
    "val_check_interval": PositiveInt | PositiveFraction | str | dict[str, int] | None,
    "check_val_every_n_epoch": PositiveInt | None,
    "num_sanity_val_steps": _OrMinusOne | None,
    "log_every_n_steps": NonNegativeInt | None,
    "accumulate_grad_batches": PositiveInt,
    "gradient_clip_val": NonNegativeFloat | None,
    "gradient_clip_algorithm": Literal["value", "norm"] | None,
}
"""Types of the Trainer's arguments, with the ranges that Lightning's own lack."""


@functools.cache
def sections() -> Section:
    """The keys that a recipe takes."""
    return Section(
        {
            "seed_everything": Field(Seed, 1, "The seed of weights, order, augmentation and mixing."),
            "model": Field(Callable[[list[str]], Task], description="The task: network, tuning, optimizer, schedule."),
            "data": Field(
                ImageData,
                description="Where the images are, and how they become batches. Without `class_path` (or with "
                f"`{ANY}`), the class that reads them is detected, and its options need no `init_args`.",
                detected=ANY,
            ),
            "trainer": Field(Section(_trainer(), Trainer), {}, "Arguments of Lightning's Trainer."),
            "tracking": Field(Tracking, Tracking(), "How often a run is saved, and which loggers it has."),
        }
    )


def _trainer() -> dict[str, Field]:
    fields = {name: field for name, field in fields_of(Trainer).items() if name not in RESERVED}
    fields |= {name: Field(hint, fields[name].default) for name, hint in _HINTS.items()}
    fields["precision"] = Field(Literal["auto"] | fields["precision"].hint, "auto")  # type: ignore[valid-type]
    fields["callbacks"] = Field(_HINTS["callbacks"], [])
    fields["num_nodes"] = replace(
        fields["num_nodes"], description="Machines. auto: with `devices: auto`, what torchrun or SLURM has started."
    )
    fields["micro_batch"] = Field(
        Literal["auto"] | PositiveInt | None,  # type: ignore[arg-type]
        None,
        "Images that go through the network at once, where a batch does not fit into memory; the gradients of a batch "
        "add up. None: the whole batch. `data.batch_size: auto` sets it to `auto`, the most that fits.",
    )
    fields["global_batch"] = Field(
        PositiveInt | None,
        None,
        "Images of an optimizer step over all devices, on any number of them: each takes its equal share, "
        "`data.batch_size` images at a time (or `micro_batch`). None: as many as batches, devices and "
        "`accumulate_grad_batches` make.",
    )
    fields["recover_memory"] = Field(
        bool, True, "Halve `micro_batch` and do the optimizer step again if memory is full, in place of an error."
    )
    described = arguments(Acceleration)
    ours = {name: replace(field, description=described[name]) for name, field in fields_of(Acceleration).items()}
    return {**fields, "benchmark": replace(fields["benchmark"], description=BENCHMARK), **ours}
