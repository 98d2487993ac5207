"""A recipe's `tuning`, and the plan that it resolves to: what is trained, when and how fast. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

from annotated_types import Gt, Le, Lt

from resnet_tl.ranges import FractionBelow1, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, checked
from resnet_tl.tuning.regularisers.base import Regulariser
from resnet_tl.tuning.teacher import Teacher

KINDS = ("norms", "biases", "adapters", "last_norm")
"""What of a stage can be trained alone."""


def unit_name(stage: str, block: int) -> str:
    """Returns the name of one of a stage's blocks; the last one has the stage's own."""
    return f"{stage}.{block}"


@checked("phase")
@dataclass
class Phase:
    """A part of the run in which the same stages are trained.

    Args:
        epochs: its length, in epochs or as a share of the run between 0 and 1 (`0.2`: a fifth of `max_epochs`, rounded,
            but so that every phase has at least 1 epoch; of more shares than epochs, the first ones are skipped). Only
            the last phase may omit it and then lasts to the end of the run.
        train: stages by name or glob (`[layer4, head]`, `[layer*]`), or `all`; the others are frozen. Next to stages,
            `norms` names the weights and biases of the normalisations in every stage, and `biases` every parameter
            called `bias` (arXiv:2106.10199), those of norms included; `adapters` those of `backbone.adapters`;
            `last_norm` the last normalisation of the network. The rest of a stage that is only named this way is
            frozen, running statistics too, except that norms follow `tuning.norm` where `norms` are trained, or the
            `last_norm`.
        lr: factors on `optimizer.lr` by stage name or glob; the first match counts, 1 where nothing matches.
        layer_decay: a further factor, applied once per stage from the head (factor 1) down to the stem.
        layer_decay_by: `block` applies it once per residual block, as timm does: 17 times down to the stem of a
            ResNet-50 in place of 5, so that it is to be closer to 1. A stage's rate is then that of its last block.
        restart: starts the schedule again with this phase; it spans this phase and those after it, up to the next
            that restarts. The schedule before it ends with the previous phase.
        solver: `lbfgs` solves the head (`train: [head]`) in place of training it: the logistic regression on the cached
            features of all training images, standardised, with the L2 penalty of the best cross-validated loss, found
            by L-BFGS. It takes one epoch, whose steps change nothing; `optimizer` and `schedule` are not used.
        until: `plateau` ends the phase, or with the last phase the run, when `monitor` stops improving; `epochs` is
            then its maximum length. Later phases start earlier, and the last one lasts longer.
        patience: of `plateau`: validations without a new best after which the phase ends.
        monitor: of `plateau`: a metric to minimise (its name ends in loss, error or ece) or maximise (any other).
        restore_best: of `plateau`: end the phase with the weights of its best validation.
        image_size: of the training images in this phase, at most `data.image_size`, or a share of it between 0 and 1:
            progressive resizing, or a training resolution below the one of evaluation (FixRes, arXiv:1906.06423). None:
            `data.image_size`.
        augment: false: in this phase training images are resized and cropped as in evaluation, and not augmented.
    """

    train: list[str] | str = "all"
    epochs: PositiveInt | Annotated[float, Gt(0), Lt(1)] | None = None
    lr: dict[str, PositiveFloat] = field(default_factory=dict)
    layer_decay: Annotated[float, Gt(0), Le(10)] = 1.0
    layer_decay_by: Literal["stage", "block"] = "stage"
    restart: bool = False
    solver: Literal["lbfgs"] | None = None
    until: Literal["epochs", "plateau"] = "epochs"
    patience: PositiveInt = 3
    monitor: str = "val/loss"
    restore_best: bool = False
    image_size: PositiveInt | Annotated[float, Gt(0), Lt(1)] | None = None
    augment: bool = True

    def __post_init__(self) -> None:
        if self.solver is not None and self.epochs is None:
            self.epochs = 1


@checked("tuning")
@dataclass
class Tuning:
    """How a network is fine-tuned.

    Args:
        phases: a list; or `gradual`, `lpft`, `lpft_solved` or `fixres`, whose phases are derived from the stages and
            `max_epochs` (`resnet-tl plan` shows them).
        norm: normalisation in trained stages: by the batch (`train`) or by the running statistics (`frozen`). Frozen
            stages always use the running statistics.
        ema: decay per step of the averaged weights that validation and checkpoints use, e.g. 0.999; None: no average.
            It rises to this value, 1 - (1 + step)^(-2/3) at most, so that a short run's average is of trained weights.
            `auto`: 1 - 25.6 / steps of the run, so that the average reaches back over 4 % of it, as those of
            torchvision's published classifiers do.
        regularisers: what keeps the network near the loaded weights, or its features transferable: a list,
            `[{class_path: BSS}, {class_path: L2SP, init_args: {strength: 0.05}}]`.
        teacher: a trained network to learn from, next to the labels, or in their place; None: none.
        l2_sp: strength of an `L2SP` regulariser, a short form of naming it in `regularisers`; 0: none.
        recalibrate: number of training batches, without mixup, over which the running statistics of trained norms are
            estimated again at the end of the run, before its last validation; with `ema` those of the averaged
            weights. 0: off.
        allow_untrained: allow a plan to freeze a stage whose weights were neither loaded nor trained.
        compile: what runs through torch.compile in training: nothing (`off`), the stages that are frozen from the
            input on (`frozen`), or these and, as one graph, all other stages with the loss (`all`), compiled once in
            each phase. A batch of another shape than the phase's first, such as a smaller last one, runs eagerly.
        compile_mode: torch.compile's: `max-autotune` looks for the fastest kernels by timing them, which takes minutes
            and makes two runs differ by rounding; `reduce-overhead` is for `all`, and uses CUDA graphs on a GPU.
        prefix_precision: of the stages that are frozen from the input on: `same` as all others, or `bf16`, which CPUs
            with AVX512-BF16 or AMX and recent GPUs compute twice as fast; the trained stages get the maps in their own
            precision. It changes the maps by about 1 %.
        cache: cache the features that these stages compute on disk: `auto` where nothing random precedes them and it
            saves time, `on` (an error where it is impossible), `off`.
        views: cache this many fixed augmented views of each image and use them in turn, one an epoch; 0: every epoch
            draws its own.
        cache_half: store cached features in 16 bits.
    """

    phases: list[Phase] | Literal["gradual", "lpft", "lpft_solved", "fixres"] = field(default_factory=lambda: [Phase()])
    norm: Literal["train", "frozen"] = "train"
    ema: FractionBelow1 | Literal["auto"] | None = None
    regularisers: list[Callable[[], Regulariser]] = field(default_factory=list)
    teacher: Teacher | None = None
    l2_sp: NonNegativeFloat = 0.0
    recalibrate: NonNegativeInt = 0
    allow_untrained: bool = False
    compile: Literal["off", "frozen", "all"] = "off"
    compile_mode: Literal["default", "max-autotune", "reduce-overhead"] = "default"
    prefix_precision: Literal["same", "bf16"] = "same"
    cache: Literal["auto", "on", "off"] = "auto"
    views: NonNegativeInt = 0
    cache_half: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.compile, bool):  # as it was before there was `all`
            self.compile = "frozen" if self.compile else "off"

    @property
    def by_block(self) -> bool:
        """Whether a phase decays by block."""
        return isinstance(self.phases, list) and any(phase.layer_decay_by == "block" for phase in self.phases)


@dataclass(frozen=True)
class ResolvedPhase:
    """A phase with its epochs and stages.

    Args:
        start, end: its epochs are `start` <= e < `end`: none if it is skipped.
        factors: on the learning rate of every stage, 0 where it is frozen.
        parts: stages that are trained in part, and which parts, of `KINDS`.
        settings: the recipe's phase.
        blocks: of the stages of several blocks, the factors of these, input to output; the last one's is the stage's.
            Empty if no phase of the plan decays by block.
    """

    start: int
    end: int
    factors: Mapping[str, float]
    parts: Mapping[str, Sequence[str]]
    settings: Phase
    blocks: Mapping[str, Sequence[float]] = field(default_factory=dict)

    @property
    def unit_factors(self) -> dict[str, float]:
        """The factors by unit, as `resnet_tl.tuning.stages.units_of` names them."""
        earlier = {
            unit_name(stage, number): factor
            for stage, blocks in self.blocks.items()
            for number, factor in enumerate(blocks[:-1])
        }
        return {**self.factors, **earlier}

    @property
    def trained(self) -> list[str]:
        """Stages that are trained, in whole or in part."""
        return [stage for stage, factor in self.factors.items() if factor > 0]

    @property
    def stepped(self) -> Mapping[str, float]:
        """The `unit_factors` by which the optimizer steps: 0 where the head is solved."""
        return self.unit_factors if self.settings.solver is None else dict.fromkeys(self.unit_factors, 0.0)

    @property
    def frozen(self) -> list[str]:
        """Stages without a trained parameter."""
        return [stage for stage, factor in self.factors.items() if factor == 0]


@dataclass(frozen=True)
class Plan:
    """Phases that cover the run without a gap."""

    phases: tuple[ResolvedPhase, ...]

    @property
    def lasting(self) -> list[ResolvedPhase]:
        """The phases that have an epoch."""
        return [phase for phase in self.phases if phase.start < phase.end]

    def index_at(self, epoch: int) -> int:
        """Returns the index of the phase that `epoch` is in."""
        ended = sum(epoch >= phase.end for phase in self.phases)
        return min(ended, len(self.phases) - 1)

    def with_start(self, index: int, epoch: int) -> Plan:
        """Returns the plan whose phase `index` starts early, at `epoch`.

        Later phases move up by as much; the last one still ends with the run.
        """
        # `number < last` keeps the end of the run, which the last phase reaches by lasting longer.
        moved, last = self.phases[index].start - epoch, len(self.phases) - 1
        later = [
            replace(phase, start=phase.start - moved, end=phase.end - (moved if number < last else 0))
            for number, phase in enumerate(self.phases[index:], index)
        ]
        earlier = list(self.phases[:index])
        return Plan((*earlier[:-1], *(replace(phase, end=epoch) for phase in earlier[-1:]), *later))

    def unfreezes(self) -> bool:
        """Whether a later phase trains anything that the first one does not."""
        trained = [
            {(stage, kind) for stage in phase.trained for kind in phase.parts.get(stage, (*KINDS, "the rest"))}
            for phase in self.lasting
        ]
        return any(later - trained[0] for later in trained)

    def schedule_spans(self) -> list[tuple[int, int]]:
        """Returns the epochs from each start of the schedule to the next: the whole run where no phase restarts it."""
        starts = [phase.start for index, phase in enumerate(self.lasting) if index == 0 or phase.settings.restart]
        return list(zip(starts, [*starts[1:], self.phases[-1].end], strict=True))
