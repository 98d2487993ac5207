"""The contract of detection heads."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from resnet_tl.models.heads.base import Head
from resnet_tl.models.heads.fcos import FCOS
from resnet_tl.models.heads.retinanet import RetinaNet
from resnet_tl.models.heads.two_stage import FasterRCNN, MaskRCNN
from resnet_tl.models.pyramid import FPN
from resnet_tl.structures.masks import to_run_lengths
from resnet_tl.structures.records import Boxes, Detections, Level

TRUNK = [Level("c3", 8, 8), Level("c4", 8, 16), Level("c5", 8, 32)]
LEVELS = FPN(TRUNK, channels=8, outputs=("p3", "p4", "p5", "p6")).feature_info
CLASSES = ["ant", "bee", "cat"]

DENSE: dict[str, Callable[[], Head]] = {
    "RetinaNet": lambda: RetinaNet(LEVELS, CLASSES, convs=1, detections=20),
    "RetinaNet group": lambda: RetinaNet(LEVELS, CLASSES, convs=2, norm="group", detections=20, floor_strides=True),
    "FCOS": lambda: FCOS(LEVELS, CLASSES, convs=1, detections=20),
}
CASES = DENSE | {
    "FasterRCNN": lambda: FasterRCNN(LEVELS, CLASSES, detections=20),
    "MaskRCNN": lambda: MaskRCNN(LEVELS, CLASSES, detections=4),
}


@pytest.fixture(params=CASES)
def head(request: pytest.FixtureRequest) -> Head:
    torch.manual_seed(0)
    return eager(CASES[request.param]())


def eager(head: Head) -> Head:
    """Imitates a trained head: it detects objects everywhere."""
    for parameter in head.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=(2 / parameter[0].numel()) ** 0.5)
        elif parameter.min() < -4:
            torch.nn.init.zeros_(parameter)
    if isinstance(head, FasterRCNN):
        head.roi_heads.fg_bg_sampler.batch_size_per_image = 16  # the second stage is slow on a CPU
    return head


def maps(images: int, height: int = 64, width: int = 64, requires_grad: bool = False) -> dict[str, Tensor]:
    return {
        name: torch.randn(images, channels, -(-height // stride), -(-width // stride), requires_grad=requires_grad)
        for name, channels, stride in LEVELS
    }


def objects(each: list[list[list[float]]], side: int = 64) -> Boxes:
    """Makes boxes of images, with the classes in turn and masks over their upper halves."""

    def image(boxes: list[list[float]]) -> Boxes:
        count = torch.arange(len(boxes))
        masks = []
        for x0, y0, x1, y1 in boxes:
            pixels = np.zeros((side, side), bool)
            pixels[int(y0) : int(y0 + y1) // 2, int(x0) : int(x1)] = True
            masks.append(to_run_lengths(pixels))
        corners = torch.tensor(boxes).reshape(-1, 4)
        return Boxes(corners, count % len(CLASSES), count * 0, count < 0, count.float(), masks)

    return Boxes.join([image(boxes) for boxes in each])


SOME = [[[4.0, 6.0, 30.0, 40.0], [20.0, 20.0, 60.0, 62.0]], [], [[0.0, 0.0, 64.0, 64.0]]]
NONE: list[list[list[float]]] = [[], [], []]


def total(terms: dict[str, Tensor]) -> Tensor:
    return torch.stack(list(terms.values())).sum()


@pytest.mark.parametrize(("images", "height", "width"), [(1, 32, 32), (3, 65, 97), (2, 33, 320)])
def test_odd_sizes_and_single_images(head: Head, images: int, height: int, width: int) -> None:
    sizes = torch.tensor([[height - 3, width - 5]] * images)
    outputs = head(maps(images, height, width), sizes, (height, width))
    for term in head.loss(outputs, objects([[[2.0, 3.0, 25.0, 28.0]]] * images)).values():
        assert term.shape == ()
        assert term.isfinite()
    detections = head.predict(outputs)
    assert len(detections.boxes) == images
    assert_in_order(detections, sizes)


def assert_in_order(detections: Detections, sizes: Tensor) -> None:
    real = detections.labels >= 0
    assert real.any()
    assert (detections.boxes >= 0).all()
    assert (detections.boxes <= sizes[:, None, [1, 0, 1, 0]]).all()
    assert ((detections.boxes[..., 2:] >= detections.boxes[..., :2]).all(-1) | ~real).all()
    assert (detections.scores[real] > 0).all()
    assert (detections.scores[~real] == 0).all()
    assert (detections.scores.diff(dim=1) <= 0).all(), "best first"
    assert detections.labels.max() < len(CLASSES)
    assert detections.masks is None or ((detections.masks >= 0) & (detections.masks <= 1)).all()


def test_sizes_may_be_unknown(head: Head) -> None:
    seen = maps(2)
    known = head.eval().predict(head(seen, torch.tensor([[64, 64]] * 2), (64, 64)))
    assert torch.equal(head.predict(head(seen, None, (64, 64))).boxes, known.boxes)


@pytest.mark.parametrize("each", [SOME, NONE], ids=["some", "none"])
def test_every_parameter_and_map_gets_a_gradient_from_any_batch(head: Head, each: list) -> None:
    seen = maps(3, requires_grad=True)
    terms = head.loss(head(seen, None, (64, 64)), objects(each))
    assert all(term.isfinite() for term in terms.values())
    total(terms).backward()
    assert [name for name, p in head.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []
    if each is SOME:
        assert [name for name, p in head.named_parameters() if not p.grad.any()] == []
    assert all(value.grad.any() for value in seen.values())


@pytest.mark.parametrize("name", DENSE)
def test_the_loss_of_dense_heads_is_one_graph_whatever_the_targets(name: str) -> None:
    torch.manual_seed(0)
    head, seen, graphs = eager(DENSE[name]()), maps(3), list[object]()

    def losses(targets: object) -> dict[str, Tensor]:
        return head.loss(head(seen, None, (64, 64)), targets)

    def count(graph: torch.fx.GraphModule, inputs: object) -> torch.fx.GraphModule:
        graphs.append(graph)
        return graph

    torch.compiler.reset()
    compiled = torch.compile(losses, backend=count, fullgraph=True, dynamic=False)
    for each in (SOME, NONE, [SOME[0] * 4, SOME[2], SOME[2]]):
        terms, expected = compiled(head.fixed_shapes(objects(each), 3)), losses(objects(each))
        torch.testing.assert_close(terms, expected, rtol=1e-5, atol=1e-6)
        gradients = [torch.autograd.grad(total(part), list(head.parameters())) for part in (terms, expected)]
        torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-5)
    assert len(graphs) == 1


def test_losses_and_predictions_of_one_pass_do_not_depend_on_training_mode(head: Head) -> None:
    """On such a small pyramid, torchvision's RPN keeps all proposals in both modes."""
    seen, results = maps(3), []
    for mode in (True, False):
        head.train(mode)
        outputs = head(seen, None, (64, 64))
        torch.manual_seed(0)
        results.append((head.loss(outputs, objects(SOME)), head.predict(outputs)))
    assert results[0][0] == results[1][0]
    assert torch.equal(results[0][1].boxes, results[1][1].boxes)


def test_a_crowd_is_not_a_target(head: Head) -> None:
    outputs = head(maps(3), None, (64, 64))
    crowded = objects([[*SOME[0], [1.0, 1.0, 50.0, 50.0]], [], SOME[2]])
    crowded.crowd[2] = True
    losses = []
    for targets in (crowded, objects(SOME)):
        torch.manual_seed(0)
        losses.append(head.loss(outputs, targets))
    expected = losses[1]
    expected_labels = {name: float(value.detach()) for name, value in expected.items()}
    assert {name: float(value.detach()) for name, value in losses[0].items()} == pytest.approx(expected_labels)


def test_gradient_steps_lower_the_loss(head: Head) -> None:
    seen, optimizer, losses = maps(3), torch.optim.SGD(head.parameters(), lr=0.01), []
    for _ in range(5):
        torch.manual_seed(0)
        loss = total(head.loss(head(seen, None, (64, 64)), objects(SOME)))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(head.parameters(), 10)
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]


def test_the_loss_is_fp32_and_finite_under_autocast(head: Head) -> None:
    seen = {name: value.bfloat16() for name, value in maps(3).items()}
    with torch.autocast("cpu", torch.bfloat16):
        outputs = head(seen, None, (64, 64))
        terms = head.loss(outputs, objects(SOME))
        detections = head.predict(outputs)
    assert all(term.dtype == torch.float32 and term.isfinite() for term in terms.values())
    assert detections.boxes.dtype == detections.scores.dtype == torch.float32
    total(terms).backward()
    assert all(p.grad.isfinite().all() for p in head.parameters())


def test_a_head_in_fp64_stays_in_fp64(head: Head) -> None:
    head.double()
    seen = {name: value.double() for name, value in maps(3).items()}
    outputs = head(seen, None, (64, 64))
    terms = head.loss(outputs, objects(SOME))
    assert {term.dtype for term in terms.values()} == {torch.float64}
    assert all(term.isfinite() for term in terms.values())
    assert head.predict(outputs).boxes.dtype == torch.float64


def test_a_state_dict_round_trip_and_a_deep_copy_predict_alike(head: Head, request: pytest.FixtureRequest) -> None:
    seen = maps(2)
    expected = head.eval().predict(head(seen, None, (64, 64)))
    other = CASES[request.node.callspec.params["head"]]().eval()
    other.load_state_dict(head.state_dict(), strict=True)
    for twin in (other, copy.deepcopy(head)):
        assert torch.equal(twin.predict(twin(seen, None, (64, 64))).boxes, expected.boxes)


class Whole(torch.nn.Module):
    def __init__(self, head: Head) -> None:
        super().__init__()
        self.head = head

    def forward(self, maps: dict[str, Tensor], sizes: Tensor) -> Detections:
        return self.head.predict(self.head(maps, sizes, (64, 64)))


@pytest.mark.parametrize("name", DENSE)
def test_dense_heads_export_with_their_suppression(name: str) -> None:
    torch.manual_seed(0)
    whole, sizes = Whole(eager(DENSE[name]()).eval()), torch.tensor([[60, 64], [64, 50]])
    program = torch.export.export(whole, (maps(2), sizes)).module()
    seen = maps(2)
    detections, expected = program(seen, sizes), whole(seen, sizes)
    assert detections.boxes.shape == (2, 20, 4)
    torch.testing.assert_close(detections.scores, expected.scores)
    torch.testing.assert_close(detections.boxes, expected.boxes)
