"""What a training step costs with each regulariser, next to a plain one: forward, loss, backward and optimizer.

python -m benchmarks regularisers [--write] [--rounds 9] [--size 128] [--batch 16]

ResNet-18 on random images, all stages trained, at the regularisers' default arguments; the weight file's own classifier
is a random one of 1,000 classes. The teacher is a ResNet-18 or a ResNet-50, at the same size.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.alternate import alternate, ratios
from benchmarks.figures import Figure, write
from benchmarks.machine import machine
from resnet_tl.models.heads.classification import LinearHead
from resnet_tl.models.network import Backbone, build
from resnet_tl.recipe.schema import can_be_named, kinds_of
from resnet_tl.run.teacher import Member, Own, Teachers
from resnet_tl.tasks.classification import Classification
from resnet_tl.tuning.plan import Tuning
from resnet_tl.tuning.regularisers.base import Regulariser
from resnet_tl.tuning.regularisers.collection import Regularisers
from resnet_tl.tuning.teacher import Teacher

CLASSES = [str(number) for number in range(10)]
TEACHERS = {
    "teacher resnet18": Teacher("resnet18"),
    "teacher resnet50": Teacher("resnet50"),
    "teacher resnet18, its features": Teacher("resnet18", weight=0.0, features=1.0),
    "teacher resnet18, layer3's maps": Teacher("resnet18", weight=0.0, features=1.0, level="layer3"),
}
PLAIN = "none"


def main(arguments: list[str]) -> None:
    options = _parser().parse_args(arguments)
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(options.batch, 3, options.size, options.size, generator=generator)
    images = images.to(memory_format=torch.channels_last)
    targets = torch.randint(len(CLASSES), (options.batch,), generator=generator)
    steps = {PLAIN: _step(None, images, targets)}
    named = [kind for kind in kinds_of(Regulariser) if can_be_named(kind, 0)]
    steps |= {kind.__name__: _step(kind, images, targets) for kind in named}
    steps |= {name: _step(None, images, targets, teacher) for name, teacher in TEACHERS.items()}
    measured = {"machine": machine(), "seconds": alternate(steps, options.rounds)}
    for figure in figures(measured):
        print(f"  {figure.row:<32} {figure.value:.2f} ({figure.low:.2f}-{figure.high:.2f}) of a plain step")
    if options.write:
        write("regularisers", measured, figures(measured))


def figures(results: dict[str, Any]) -> list[Figure]:
    seconds = results["seconds"]
    each = {name: ratios(seconds, name, PLAIN) for name in seconds if name != PLAIN}
    return [
        Figure("regularisers", name, "of a plain step", ratio.median, "x", low=ratio.low, high=ratio.high)
        for name, ratio in each.items()
    ]


class Task(Classification):
    """Of random weights that count as loaded."""

    def old_classifier(self, reader: str) -> nn.Linear:
        return nn.Linear(self.classifier.fc.in_features, 1000)


def _step(
    kind: type[Regulariser] | None, images: Tensor, targets: Tensor, teacher: Teacher | None = None
) -> Callable[[], object]:
    torch.manual_seed(0)
    tuning = Tuning(regularisers=[] if kind is None else [kind], teacher=teacher)
    task = Task(CLASSES, Backbone("resnet18"), tuning=tuning)
    if teacher is not None:
        size = images.shape[-1]
        own = Own(build(Backbone(teacher.names[0]), None, LinearHead, CLASSES), CLASSES, size)
        member = Member(teacher.names[0], own, range(len(CLASSES)), teacher, task)
        task.teacher = Teachers([member], teacher, task)
    task.loaded_stages = list(task.stages())[:-1]
    regularisers = Regularisers(tuning, task, task.stages())
    features = torch.randn(len(CLASSES), task.classifier.fc.in_features)
    for each in regularisers.each:
        each.begin(task, [(features, torch.arange(len(CLASSES)))])
    task.train()
    optimizer = torch.optim.SGD(task.parameters(), 1e-4, momentum=0.9)

    def step() -> None:
        optimizer.zero_grad()
        terms = task.training_losses(images, None, targets)
        torch.stack(list(terms.values())).sum().backward()
        regularisers.add_gradients()
        optimizer.step()

    return step


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks regularisers")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--size", type=int, default=128, help="side of the images in pixels")
    parser.add_argument("--batch", type=int, default=16, help="images of a step")
    parser.add_argument("--write", action="store_true", help="writes benchmarks/results/regularisers.json")
    return parser
