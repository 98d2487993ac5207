"""A recipe's `tuning.teacher`. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from resnet_tl.ranges import Fraction, NonNegativeFloat, NonNegativeInt, Pixels, PositiveFloat, checked


@checked("teacher")
@dataclass
class Teacher:
    """A trained network of which the one that is trained learns, next to the labels: distillation (arXiv:1503.02531).
    It sees the same pixels, augmented and mixed (consistent teaching, arXiv:2106.05237).

    Args:
        network: a run folder, checkpoint, folder of folds or published folder (also `hf://USER/NAME`) of a classifier
            whose classes include the data's; or `timm/NAME`, a model of timm; or a list of these, whose probabilities
            are averaged.
        temperature: T, by which the logits of both are divided before their softmax. Above 1 it shows more of which
            classes the teacher takes for alike.
        weight: of the distillation loss, T^2 times the divergence of the probabilities; the loss of the labels weighs 1
            less this. 0: the teacher's classes are not used.
        features: strength of a further term, by which a projection of the network's features learns to be the
            teacher's; 0: none. A detector, whose `network` is a detector's run and whose `weight` is 0, learns the maps
            of its neck where objects are (arXiv:1906.03609).
        level: the stage whose maps the projection, a 1x1 convolution, takes to the teacher's, by their mean squared
            difference (FitNets, arXiv:1412.6550); None: it takes the classifier's inputs to the teacher's, by the
            cosine.
        teacher_level: the teacher's stage, of timm's models a module as `blocks.5`; None: called as `level`.
        size: pixels that images are resized to for the teacher; None: its own evaluation size.
        file: weights of `timm/NAME` in timm's format; None: timm's own, from the hub.
        outputs: of `timm/NAME`: which of its outputs is each class's, `{ants: 310, bees: 309}`; None: it has one for
            each class, in the data's order, or names them alike.
    """

    network: str | list[str]
    temperature: PositiveFloat = 2.0
    weight: Fraction = 0.5
    features: NonNegativeFloat = 0.0
    level: str | None = None
    teacher_level: str | None = None
    size: Pixels | None = None
    file: str | None = None
    outputs: dict[str, NonNegativeInt] | None = None

    @property
    def names(self) -> list[str]:
        """The networks, one by one."""
        return [self.network] if isinstance(self.network, str) else self.network
