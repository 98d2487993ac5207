"""The contract of heads, whatever their task."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from resnet_tl.models.heads.base import Head
from resnet_tl.models.heads.classification import LinearHead, MLPHead
from resnet_tl.models.heads.regression import RegressionHead
from resnet_tl.structures.records import Level

LEVELS = [Level("c4", 8, 16), Level("c5", 12, 32)]
CLASSES = ["ant", "bee", "cat", "dog"]


class Case(NamedTuple):
    """A head, and a function that makes targets of its task for n images."""

    build: Callable[[], Head]
    targets: Callable[[int], Tensor]


def indices(images: int) -> Tensor:
    return torch.arange(images) % len(CLASSES)


def multi_hot(images: int) -> Tensor:
    """The first image has no class, the second has one, ..."""
    return (torch.arange(len(CLASSES)) < torch.arange(images)[:, None] % (len(CLASSES) + 1)).float()


def soft(images: int) -> Tensor:
    return (torch.arange(images)[:, None] * torch.arange(len(CLASSES))).float().softmax(1)


def numbers(images: int) -> Tensor:
    return torch.arange(images)[:, None] - torch.arange(len(CLASSES)) / 2


CLASSIFIERS = {
    f"{kind.__name__} {pool} {'multi-label' if multi_label else 'multi-class'} {targets.__name__}": Case(
        lambda kind=kind, options={"pool": pool, "multi_label": multi_label, **more}: kind(LEVELS, CLASSES, **options),
        targets,
    )
    for kind, pool, multi_label, targets, more in (
        (LinearHead, "avg", False, indices, {}),
        (LinearHead, "max", False, soft, {"label_smoothing": 0.1}),
        (LinearHead, "avgmax", True, multi_hot, {"thresholds": "auto", "class_weights": "auto"}),
        (LinearHead, "gem", False, indices, {"class_weights": [1.0, 2.0, 3.0, 4.0]}),
        (MLPHead, "gem", True, multi_hot, {"thresholds": [0.1, 0.2, 0.3, 0.4], "label_smoothing": 0.1}),
        (MLPHead, "avg", False, indices, {"dropout": 0.5, "hidden": 6}),
    )
}
CASES = CLASSIFIERS | {
    f"RegressionHead {options}": Case(lambda options=options: RegressionHead(LEVELS, CLASSES, **options), numbers)
    for options in ({"loss": "mse"}, {"loss": "huber", "pool": "gem"}, {"loss": "quantiles", "dropout": 0.5})
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    torch.manual_seed(0)
    return CASES[request.param]


def maps(images: int, height: int = 64, width: int = 64, requires_grad: bool = False) -> dict[str, Tensor]:
    """Draws the maps of a batch, with odd sides rounded up, as after a ReLU."""
    return {
        level.name: torch.randn(images, level.channels, -(-height // level.stride), -(-width // level.stride))
        .relu()
        .requires_grad_(requires_grad)
        for level in LEVELS
    }


def run(head: Head, images: int = 3, height: int = 64, width: int = 64) -> Tensor:
    return head(maps(images, height, width), torch.tensor([[height, width]] * images), (height, width))


@pytest.mark.parametrize(("images", "height", "width"), [(1, 32, 32), (3, 65, 97), (2, 33, 640)])
def test_odd_sizes_and_single_images_have_outputs_predictions_and_a_loss(
    case: Case, images: int, height: int, width: int
) -> None:
    head = case.build()
    outputs = run(head, images, height, width)
    assert outputs.shape == head.predict(outputs).shape
    assert outputs.shape[:2] == (images, len(CLASSES))
    for name, term in head.loss(outputs, case.targets(images)).items():
        assert isinstance(name, str)
        assert term.shape == ()
        assert term.isfinite()


def test_sizes_may_be_unknown(case: Case) -> None:
    head, seen = case.build().eval(), maps(2)
    assert torch.equal(head(seen, None, (64, 64)), head(seen, torch.tensor([[64, 64]] * 2), (64, 64)))


def test_every_parameter_gets_a_gradient_from_any_batch(case: Case) -> None:
    for targets in (case.targets(3), torch.zeros_like(case.targets(3)), case.targets(0)):
        head = case.build()
        seen = maps(len(targets), requires_grad=True)
        sum(head.loss(head(seen, None, (64, 64)), targets).values()).backward()
        assert [name for name, p in head.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []
    head = case.build().eval()
    seen = maps(3, requires_grad=True)
    sum(head.loss(head(seen, None, (64, 64)), case.targets(3)).values()).backward()
    assert all(p.grad.any() for p in head.parameters()), "with images, gradients are not all zero"
    assert seen["c5"].grad.any(), "the gradient reaches the trunk"


def test_gradient_steps_lower_the_loss(case: Case) -> None:
    head, seen, targets = case.build().eval(), maps(3), case.targets(3)
    optimizer = torch.optim.SGD(head.parameters(), lr=0.05)
    losses = []
    for _ in range(20):
        loss = sum(head.loss(head(seen, None, (64, 64)), targets).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]


def test_the_loss_is_one_graph(case: Case) -> None:
    head, seen = case.build().eval(), maps(3)

    def losses(targets: Tensor) -> dict[str, Tensor]:
        return head.loss(head(seen, None, (64, 64)), targets)

    torch.compiler.reset()
    compiled = torch.compile(losses, backend="eager", fullgraph=True)
    assert compiled(head.fixed_shapes(case.targets(3), 3)) == losses(case.targets(3))


@pytest.mark.parametrize("case", CLASSIFIERS, indirect=True)
def test_predictions_are_probabilities(case: Case) -> None:
    head = case.build().eval()
    probabilities = head.predict(head({name: 100 * map for name, map in maps(3).items()}, None, (64, 64)))
    assert probabilities.dtype == torch.float32
    assert ((probabilities >= 0) & (probabilities <= 1)).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_loss_is_fp32_and_finite_under_autocast(case: Case, dtype: torch.dtype) -> None:
    """Uses half-precision maps, as from a trunk under autocast, as large as fp16 allows."""
    head = case.build()
    seen = {name: (1000 * map).to(dtype) for name, map in maps(3, 64, 96).items()}
    with torch.autocast("cpu", dtype):
        outputs = head(seen, None, (64, 96))
        terms = head.loss(outputs, case.targets(3))
    assert all(term.dtype == torch.float32 and term.isfinite() for term in terms.values())
    sum(terms.values()).backward()
    assert all(p.grad.isfinite().all() for p in head.parameters())


def test_a_state_dict_round_trip_and_a_deep_copy_predict_alike(case: Case) -> None:
    head = case.build().eval()
    for parameter in head.parameters():
        nn.init.uniform_(parameter, 0.5, 1.5)
    seen, targets = maps(3), case.targets(3)
    other = case.build().eval()
    other.load_state_dict(head.state_dict(), strict=True)
    for twin in (other, copy.deepcopy(head)):
        outputs = twin(seen, None, (64, 64))
        assert torch.equal(outputs, head(seen, None, (64, 64)))
        assert twin.loss(outputs, targets) == head.loss(outputs, targets)


@pytest.mark.parametrize("dynamic", [False, True], ids=["fixed size", "any batch"])
def test_it_exports(case: Case, dynamic: bool) -> None:
    head, seen = case.build().eval(), maps(3)
    shapes = {name: {0: torch.export.Dim("n", max=64)} for name in seen}
    program = torch.export.export(
        head, (seen, None, (64, 64)), dynamic_shapes=(shapes, None, (None, None)) if dynamic else None
    )
    exported = program.module()
    for images in (3, 5) if dynamic else (3,):
        seen = maps(images)
        torch.testing.assert_close(exported(seen, None, (64, 64)), head(seen, None, (64, 64)))
