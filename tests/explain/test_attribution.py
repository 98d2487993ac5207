"""Maps point at what decides, agree with Grad-CAM written by hand, and exist for every trunk and head."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from resnet_tl.errors import RecipeError, RunError
from resnet_tl.explain.attribution import checked_stage, enlarge, gradcam, occlusion, require_captum
from resnet_tl.explain.scores import ClassScore, ObjectScore, RegionScore
from resnet_tl.models.ensemble import ensemble
from resnet_tl.models.heads.base import DetectionHead, Head
from resnet_tl.models.heads.classification import LinearHead, MLPHead
from resnet_tl.models.heads.retinanet import RetinaNet
from resnet_tl.models.heads.segmentation.base import SegmentationHead
from resnet_tl.models.heads.segmentation.deeplab import DeepLabV3Head, DeepLabV3PlusHead
from resnet_tl.models.heads.segmentation.fcn import FCNHead
from resnet_tl.models.heads.segmentation.psp import PSPHead
from resnet_tl.models.heads.segmentation.unet import UNetHead
from resnet_tl.models.heads.two_stage import FasterRCNN, MaskRCNN
from resnet_tl.models.network import Backbone, Network, build
from resnet_tl.models.pyramid import FPN, PAN
from resnet_tl.structures.records import Level, Preprocessing
from tests.explain.planted import CLASSES, Cues, share

CUES = Cues(24, seed=1000)


@pytest.mark.parametrize("stage", ["stem", "layer1", "layer2", "layer3"])
def test_grad_cam_of_a_class_points_at_the_planted_cue(classifier: Network, stage: str) -> None:
    maps = gradcam(classifier, CUES.images, ClassScore(CUES.labels), stage)
    shares = share(maps, CUES.quadrants())
    assert shares.mean() > 0.7  # of four quarters
    assert shares.min() > 0.5
    others = CUES.quadrants()[torch.randperm(len(maps), generator=torch.Generator().manual_seed(0))]
    assert share(maps, others).mean() < 0.45
    assert share(torch.rand_like(maps), CUES.quadrants()).mean() == pytest.approx(0.25, abs=0.02)


def test_occlusion_points_at_the_planted_cue(classifier: Network) -> None:
    places = CUES.quadrants()
    for number in range(4):
        one = slice(number, number + 1)
        values = occlusion(classifier, CUES.images[one], ClassScore(CUES.labels[one]), batch_size=64)
        assert share(values, places[one]) > 0.55
        assert places[number].flatten()[values.argmax()]


def test_grad_cam_of_an_object_lies_in_its_box(detector: Network) -> None:
    assert isinstance(detector.head, DetectionHead)
    with torch.no_grad():
        found = detector.head.predict(detector(CUES.images))
    for number in range(6):
        one, score = (
            slice(number, number + 1),
            ObjectScore(detector.head, found.boxes[number, 0], int(CUES.labels[number])),
        )
        assert share(gradcam(detector, CUES.images[one], score, "neck"), CUES.inside()[one]) > 0.85
        assert share(gradcam(detector, CUES.images[one], score, "layer3"), CUES.inside()[one]) > 0.5
    values = occlusion(detector, CUES.images[one], score, batch_size=64)
    assert share(values, CUES.quadrants()[one]) > 0.8


@pytest.mark.parametrize("stage", ["layer2", "layer3"])
def test_grad_cam_of_a_region_lies_in_it(segmenter: Network, stage: str) -> None:
    for number in range(6):
        one, score = slice(number, number + 1), RegionScore(int(CUES.labels[number]), CUES.inside()[number])
        values = gradcam(segmenter, CUES.images[one], score, stage)
        assert share(values, CUES.inside()[one]) > 0.6  # of a tenth of the image
        assert share(values, CUES.quadrants()[one]) > 0.85


def test_an_ensemble_is_explained_by_the_maps_of_all(classifier: Network, detector: Network) -> None:
    for network, least in ((classifier, 0.6), (detector, 0.5)):
        both = ensemble([network, copy.deepcopy(network)])
        assert checked_stage(both, None) == "members"
        with pytest.raises(RecipeError, match=r"'layer3' cannot be explained in folds together, .* explain one fold"):
            checked_stage(both, "layer3")
        for number in range(3):
            one = slice(number, number + 1)
            score: Any = ClassScore(CUES.labels[one])
            if network is detector:
                with torch.no_grad():
                    found = both.head.predict(both(CUES.images[one]))
                score = ObjectScore(both.head, found.boxes[0, 0], int(found.labels[0, 0]))
            values = gradcam(both, CUES.images[one], score, "members")
            assert share(values, CUES.quadrants()[one]) > least


@pytest.mark.parametrize("stage", ["layer1", "layer2", "layer3"])
def test_grad_cam_is_that_of_a_few_lines(classifier: Network, stage: str) -> None:
    kept: dict[str, Tensor] = {}
    module = classifier.trunk.get_submodule(stage)  # type: ignore[attr-defined]
    hook = module.register_forward_hook(lambda _, __, output: kept.update(map=output))
    logits = classifier(CUES.images)
    hook.remove()
    (gradient,) = torch.autograd.grad(logits[range(len(logits)), CUES.labels].sum(), kept["map"])
    expected = (gradient.mean((2, 3), keepdim=True) * kept["map"]).sum(1).relu()
    stride = 32 // expected.shape[-1]
    maps = gradcam(classifier, CUES.images, ClassScore(CUES.labels), stage)
    torch.testing.assert_close(maps[:, ::stride, ::stride], expected.detach(), rtol=1e-5, atol=1e-7)


def test_grad_cam_of_a_region_is_that_of_a_few_lines(segmenter: Network) -> None:
    kept: dict[str, Tensor] = {}
    module = segmenter.trunk.get_submodule("layer2")  # type: ignore[attr-defined]
    hook = module.register_forward_hook(lambda _, __, output: kept.update(map=output))
    logits = segmenter(CUES.images[:1]).main
    hook.remove()
    (gradient,) = torch.autograd.grad(logits[0, 1][CUES.inside()[0]].mean(), kept["map"])
    expected = (gradient * kept["map"]).sum(1).relu().detach()
    values = gradcam(segmenter, CUES.images[:1], RegionScore(1, CUES.inside()[0]), "layer2")
    torch.testing.assert_close(values[:, ::2, ::2], expected, rtol=1e-5, atol=1e-8)


def test_images_do_not_change_each_others_maps(classifier: Network) -> None:
    together = gradcam(classifier, CUES.images[:4], ClassScore(CUES.labels[:4]), "layer3")
    for number in range(4):
        one = slice(number, number + 1)
        alone = gradcam(classifier, CUES.images[one], ClassScore(CUES.labels[one]), "layer3")
        torch.testing.assert_close(alone, together[one], rtol=1e-4, atol=1e-6)


def test_nothing_of_the_network_changes(classifier: Network) -> None:
    before = {key: value.clone() for key, value in classifier.state_dict().items()}
    gradcam(classifier, CUES.images[:2], ClassScore(CUES.labels[:2]), "stem")
    assert all(torch.equal(value, before[key]) for key, value in classifier.state_dict().items())
    assert all(parameter.grad is None or not parameter.grad.isnan().any() for parameter in classifier.parameters())
    assert not any(module._forward_hooks for module in classifier.modules())


def test_a_frozen_network_has_maps(classifier: Network) -> None:
    classifier.requires_grad_(False)
    try:
        assert gradcam(classifier, CUES.images[:1], ClassScore(CUES.labels[:1]), "layer3").max() > 0
    finally:
        classifier.requires_grad_(True)


def test_cells_are_where_they_look() -> None:
    values = torch.zeros(1, 3, 4)
    values[0, 1, 2] = 1
    fine = enlarge(values, 8, (21, 29))
    assert fine.shape == (1, 21, 29)
    assert divmod(int(fine.argmax()), 29) == (8, 16)
    assert fine[0, 8, 12] == 0.5


@pytest.mark.parametrize("stage", ["layer5", "head", ""])
def test_a_wrong_stage_is_answered_with_those_that_exist(classifier: Network, stage: str) -> None:
    with pytest.raises(RecipeError, match="expected one of stem, layer1, layer2, layer3"):
        checked_stage(classifier, stage)


def test_without_the_extra_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resnet_tl.extras.find_spec", lambda name: None)
    with pytest.raises(RunError, match=r"pip install 'resnet-tl\[explain\]'"):
        require_captum()


HEADS: dict[str, tuple[Callable[..., Head], Callable[..., Any] | None]] = {
    "linear": (LinearHead, None),
    "GeM": (lambda levels, classes: LinearHead(levels, classes, pool="gem", multi_label=True), None),
    "MLP": (lambda levels, classes: MLPHead(levels, classes, hidden=8, pool="max"), None),
    "RetinaNet": (lambda levels, classes: RetinaNet(levels, classes, convs=1, score_threshold=0.0), PAN),
    "Faster R-CNN": (lambda levels, classes: FasterRCNN(levels, classes, score_threshold=0.0), FPN),
    "Mask R-CNN": (lambda levels, classes: MaskRCNN(levels, classes, score_threshold=0.0, detections=4), FPN),
    "FCN": (FCNHead, None),
    "DeepLabV3": (lambda levels, classes: DeepLabV3Head(levels, classes, channels=8, auxiliary=0.4), None),
    "DeepLabV3+": (lambda levels, classes: DeepLabV3PlusHead(levels, classes, channels=8, shallow_channels=4), None),
    "PSP": (lambda levels, classes: PSPHead(levels, classes, channels=8), None),
    "U-Net": (lambda levels, classes: UNetHead(levels, classes, channels=(8, 8, 8, 6, 4)), None),
}


@pytest.mark.parametrize("name", HEADS)
def test_every_head_has_maps_at_every_stage(name: str) -> None:
    torch.manual_seed(0)
    head, neck = HEADS[name]
    make_neck = None if neck is None else lambda levels: neck(levels, channels=8)
    network = build(Backbone(name="resnet_tiny", zero_init_last=False), make_neck, head, CLASSES).eval()
    images = torch.randint(0, 256, (1, 3, 70, 50), dtype=torch.uint8)
    score: Any = ClassScore(torch.tensor([1]))
    if isinstance(network.head, DetectionHead):
        with torch.no_grad():
            found = network.head.predict(network(images))
        score = ObjectScore(network.head, found.boxes[0, 0], int(found.labels[0, 0]))
        assert score(network(images)).detach() == pytest.approx(found.scores[0, :1].numpy(), rel=1e-5)
    elif isinstance(network.head, SegmentationHead):
        score = RegionScore(1, torch.ones(70, 50, dtype=torch.bool))
    for stage in network.cuts():
        values = gradcam(network, images, score, stage)
        assert values.shape == (1, 70, 50)
        assert values.isfinite().all()
        assert values.min() >= 0


@pytest.mark.parametrize("name", ["resnet14t", "resnet20_cifar", "seresnet18"])
def test_every_kind_of_resnet_has_maps(name: str) -> None:
    torch.manual_seed(0)
    network = build(Backbone(name=name, in_channels=4, zero_init_last=False), None, LinearHead, CLASSES).eval()
    images = torch.randint(0, 65535, (2, 4, 64, 64), dtype=torch.int32).to(torch.uint16)
    for stage in network.cuts():
        assert gradcam(network, images, ClassScore(torch.tensor([0, 2])), stage).shape == (2, 64, 64)


class Custom(nn.Module):
    """A trunk that cannot be cut."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.in_channels, self.preprocessing = in_channels, Preprocessing()
        self.net = nn.Sequential(nn.Conv2d(in_channels, 8, 3, 2, 1), nn.ReLU(inplace=True))
        self.feature_info = [Level("c1", 8, 2)]

    def stages(self) -> dict[str, list[nn.Module]]:
        return {"all": [self.net]}

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return {"c1": self.net(images)}


def test_a_custom_trunk_has_maps_after_its_last_stage() -> None:
    trunk = Custom(3)
    network = Network(trunk, None, LinearHead(trunk.feature_info, CLASSES)).eval()
    assert network.cuts() == [checked_stage(network, None)] == ["all"]
    images = torch.randint(0, 256, (1, 3, 20, 20), dtype=torch.uint8)
    assert gradcam(network, images, ClassScore(torch.tensor([0])), "all").shape == (1, 20, 20)


class OnC2(LinearHead):
    """Reads a level that is not the deepest."""

    def __init__(self, levels: list[Level], classes: list[str]) -> None:
        super().__init__(levels[:2], classes)


def test_a_stage_that_the_head_does_not_read_is_refused() -> None:
    network = build(Backbone(name="resnet_tiny"), None, OnC2, CLASSES).eval()
    images = torch.randint(0, 256, (1, 3, 32, 32), dtype=torch.uint8)
    assert gradcam(network, images, ClassScore(torch.tensor([0])), "layer1").shape == (1, 32, 32)
    with pytest.raises(RecipeError, match="does not read what 'layer4' computes"):
        gradcam(network, images, ClassScore(torch.tensor([0])), "layer4")
