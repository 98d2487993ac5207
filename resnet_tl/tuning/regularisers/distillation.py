"""Distillation (arXiv:1503.02531): the outputs of a teacher as soft targets."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from resnet_tl.tuning.regularisers.base import Start, Step
from resnet_tl.tuning.regularisers.teacher_term import TeacherTerm


class Distillation(TeacherTerm):
    """Pulls the outputs towards those of `tuning.teacher`, which weigh against the labels.

    The term is `weight` times T^2 times the divergence of the softened probabilities from the teacher's, averaged over
    all images, those without labels too. With several labels per image it is that of the two outcomes of each class,
    averaged over the classes.
    """

    name = "teacher"
    reads = ("outputs",)

    def start(self, start: Start) -> None:
        super().start(start)
        self.multi_label: bool = start.module.multi_label

    def penalty(self, step: Step) -> Tensor | None:
        if step.taught is None or step.taught.outputs is None:
            return None
        assert step.network.outputs is not None
        temperature, weight = self.teacher.temperature, self.teacher.weight
        outputs = step.network.outputs / temperature
        expected = step.taught.outputs.to(outputs.dtype) / temperature
        divergence = _of_each if self.multi_label else _of_one
        return weight * temperature**2 * divergence(outputs, expected).sum() / step.images_of_whole


def _of_one(outputs: Tensor, expected: Tensor) -> Tensor:
    """Returns KL(expected || outputs) of the softmax of logits `[N, K]`, by image."""
    divergence = F.kl_div(outputs.log_softmax(1), expected.log_softmax(1), reduction="none", log_target=True)
    return divergence.sum(1)


def _of_each(outputs: Tensor, expected: Tensor) -> Tensor:
    """Returns the mean over K of KL(expected || outputs) of the sigmoid of logits `[N, K]`, by image."""
    probabilities = expected.sigmoid()
    yes = probabilities * (F.logsigmoid(expected) - F.logsigmoid(outputs))
    no = (1 - probabilities) * (F.logsigmoid(-expected) - F.logsigmoid(-outputs))
    return (yes + no).mean(1)
