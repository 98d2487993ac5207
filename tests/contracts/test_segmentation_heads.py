"""The contract of segmentation heads."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from resnet_tl.models.heads.base import Head
from resnet_tl.models.heads.segmentation.deeplab import DeepLabV3Head, DeepLabV3PlusHead
from resnet_tl.models.heads.segmentation.fcn import FCNHead
from resnet_tl.models.heads.segmentation.losses import OHEM, CrossEntropy, Dice, Focal, Lovasz
from resnet_tl.models.heads.segmentation.psp import PSPHead
from resnet_tl.models.heads.segmentation.semantic_fpn import SemanticFPNHead
from resnet_tl.models.heads.segmentation.unet import UNetHead
from resnet_tl.structures.records import IGNORE, Level

TRUNK = [Level("c1", 4, 2), Level("c2", 6, 4), Level("c3", 8, 8), Level("c4", 8, 16), Level("c5", 12, 32)]
PYRAMID = [Level("p2", 8, 4), Level("p3", 8, 8), Level("p4", 8, 16)]
CLASSES = ["sky", "road", "car"]

CASES: dict[str, tuple[list[Level], Callable[..., Head]]] = {
    "FCN": (TRUNK, partial(FCNHead, losses=[Focal])),
    "DeepLabV3": (TRUNK, partial(DeepLabV3Head, channels=8, auxiliary=0.4, losses=[CrossEntropy])),
    "DeepLabV3+": (TRUNK, partial(DeepLabV3PlusHead, channels=8, shallow_channels=4, losses=[OHEM])),
    "PSP": (TRUNK, partial(PSPHead, channels=8, auxiliary=0.4, losses=[CrossEntropy, Lovasz])),
    "U-Net": (TRUNK, partial(UNetHead, channels=(8, 8, 8, 6, 4), losses=[CrossEntropy, Dice])),
    "U-Net of stride 4": (TRUNK, partial(UNetHead, channels=(8, 8, 8), stride=4)),
    "semantic FPN": (
        PYRAMID,
        partial(SemanticFPNHead, channels=8, losses=[partial(CrossEntropy, class_weights="auto", label_smoothing=0.1)]),
    ),
}


@pytest.fixture(params=CASES)
def name(request: pytest.FixtureRequest) -> str:
    torch.manual_seed(0)
    return request.param


def build(name: str) -> Head:
    levels, head = CASES[name]
    return head(levels, CLASSES)


def maps(name: str, images: int, size: tuple[int, int] = (64, 64), requires_grad: bool = False) -> dict[str, Tensor]:
    """Draws the maps of a batch, with odd sides rounded up, as after a ReLU."""
    return {
        level: torch.randn(images, channels, -(-size[0] // stride), -(-size[1] // stride))
        .relu()
        .requires_grad_(requires_grad)
        for level, channels, stride in CASES[name][0]
    }


def truth(images: int, size: tuple[int, int] = (64, 64)) -> Tensor:
    """Makes targets: halves of two classes, and a band that is ignored."""
    mask = torch.zeros(images, *size, dtype=torch.uint8)
    mask[:, size[0] // 2 :] = 1
    mask[:, :3] = IGNORE
    return mask


def total(terms: dict[str, Tensor]) -> Tensor:
    return torch.stack(list(terms.values())).sum()


@pytest.mark.parametrize(("images", "size"), [(1, (32, 32)), (3, (65, 97)), (2, (33, 320))])
def test_odd_sizes_and_single_images(name: str, images: int, size: tuple[int, int]) -> None:
    head = build(name)
    outputs = head(maps(name, images, size), None, size)
    probabilities = head.predict(outputs)
    assert outputs.main.shape == probabilities.shape == (images, len(CLASSES), *size)
    torch.testing.assert_close(probabilities.sum(1), torch.ones(images, *size))
    for term in head.loss(outputs, truth(images, size)).values():
        assert term.shape == ()
        assert term.isfinite()


def test_sizes_may_be_unknown(name: str) -> None:
    head, seen = build(name).eval(), maps(name, 2)
    known = head(seen, torch.tensor([[64, 64]] * 2), (64, 64))
    assert torch.equal(head(seen, None, (64, 64)).main, known.main)


def test_it_reads_the_levels_that_it_names(name: str) -> None:
    head, seen = build(name).eval(), maps(name, 1)
    read = {level: seen[level] for level in head.reads or seen}
    assert torch.equal(head(read, None, (64, 64)).main, head(seen, None, (64, 64)).main)


NOTHING = torch.full((3, 64, 64), IGNORE, dtype=torch.uint8)


@pytest.mark.parametrize("name", sorted(CASES.keys() - {"DeepLabV3+", "PSP"}))
def test_the_loss_is_one_graph_unless_it_chooses_pixels_as_ohem_and_lovasz_do(name: str) -> None:
    torch.manual_seed(0)
    head, seen = build(name).eval(), maps(name, 3)

    def losses(targets: Tensor) -> dict[str, Tensor]:
        return head.loss(head(seen, None, (64, 64)), targets)

    torch.compiler.reset()
    compiled = torch.compile(losses, backend="eager", fullgraph=True)
    assert compiled(head.fixed_shapes(truth(3), 3)) == losses(truth(3))


@pytest.mark.parametrize("targets", [truth(3), NOTHING], ids=["some", "none"])
def test_every_parameter_gets_a_gradient_from_any_batch(name: str, targets: Tensor) -> None:
    head, seen = build(name), maps(name, 3, requires_grad=True)
    total(head.loss(head(seen, None, (64, 64)), targets)).backward()
    assert [key for key, p in head.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []
    if targets is NOTHING:
        assert not any(p.grad.any() for p in head.parameters())
    else:
        assert all(seen[level].grad.any() for level in head.reads or seen), "the gradient reaches the trunk"


def test_gradient_steps_lower_the_loss(name: str) -> None:
    head, seen, targets = build(name).eval(), maps(name, 2), truth(2)
    optimizer = torch.optim.SGD(head.parameters(), lr=0.05)
    losses = []
    for _ in range(10):
        loss = total(head.loss(head(seen, None, (64, 64)), targets))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_loss_is_fp32_and_finite_under_autocast(name: str, dtype: torch.dtype) -> None:
    head = build(name)
    seen = {level: (100 * value).to(dtype) for level, value in maps(name, 2, (64, 96)).items()}
    with torch.autocast("cpu", dtype):
        outputs = head(seen, None, (64, 96))
        terms = head.loss(outputs, truth(2, (64, 96)))
    assert all(term.dtype == torch.float32 and term.isfinite() for term in terms.values())
    total(terms).backward()
    assert all(p.grad.isfinite().all() for p in head.parameters())


def test_a_head_in_fp64_stays_in_fp64(name: str) -> None:
    head = build(name).double()
    outputs = head({level: value.double() for level, value in maps(name, 2).items()}, None, (64, 64))
    assert outputs.main.dtype == head.predict(outputs).dtype == torch.float64
    assert {term.dtype for term in head.loss(outputs, truth(2)).values()} == {torch.float64}


def test_a_state_dict_round_trip_and_a_deep_copy_predict_alike(name: str) -> None:
    head = build(name).eval()
    head.set_class_counts([5, 2, 1])
    for parameter in head.parameters():
        nn.init.uniform_(parameter, -0.5, 1.0)
    seen, targets = maps(name, 2), truth(2)
    other = build(name).eval()
    other.load_state_dict(head.state_dict(), strict=True)
    for twin in (other, copy.deepcopy(head)):
        outputs = twin(seen, None, (64, 64))
        assert torch.equal(outputs.main, head(seen, None, (64, 64)).main)
        assert twin.loss(outputs, targets) == head.loss(outputs, targets)


class Whole(nn.Module):
    def __init__(self, head: Head) -> None:
        super().__init__()
        self.head = head

    def forward(self, maps: dict[str, Tensor]) -> Tensor:
        return self.head.predict(self.head(maps, None, (64, 64)))


def test_it_exports_for_any_batch(name: str) -> None:
    whole, seen = Whole(build(name)).eval(), maps(name, 3)
    shapes = ({level: {0: torch.export.Dim("n", max=64)} for level in seen},)
    exported = torch.export.export(whole, (seen,), dynamic_shapes=shapes).module()
    for images in (3, 5):
        seen = maps(name, images)
        torch.testing.assert_close(exported(seen), whole(seen))
