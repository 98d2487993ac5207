"""Training steps of RetinaNet and Faster R-CNN by autocast to bf16, eager, against torchvision's.

Stem, layer1 and all norms are frozen everywhere, as in torchvision's own training; ours runs them folded, as our
command does. All start from the same normalised images and boxes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor, nn

from benchmarks.figures import Figure
from benchmarks.gpu_parts.device import Run
from benchmarks.gpu_parts.race import race, speed, times_as_fast
from benchmarks.gpu_parts.setting import Setting
from resnet_tl.models.heads.retinanet import RetinaNet
from resnet_tl.models.heads.two_stage import FasterRCNN
from resnet_tl.models.network import Backbone, Network, build
from resnet_tl.models.pyramid import FPN
from resnet_tl.structures.boxes import clip
from resnet_tl.structures.records import Boxes
from resnet_tl.tuning import prefix
from resnet_tl.tuning.freezing import freeze

CLASSES = 91
OURS = {
    "RetinaNet": (("p3", "p4", "p5", "p6", "p7"), RetinaNet),
    "Faster R-CNN": (("p2", "p3", "p4", "p5", "p6"), FasterRCNN),
}
Loss = Callable[[], dict[str, Tensor]]


def measure(setting: Setting) -> Iterator[Figure]:
    batch, side, _ = setting.detection
    for head in OURS:
        makers = {"ours": our_loss, "torchvision": torchvisions_loss}
        every = race(setting, {name: partial(_step, setting, make, head) for name, make in makers.items()})
        row = f"{head}, training, batch {batch}, {side} px"
        for name, timed in every.items():
            yield from speed(f"{row}: {name}", timed, batch)
        yield times_as_fast(f"{row}: ours", every, "ours", ["torchvision"], 1.0)


def _step(setting: Setting, make: Callable[[Setting, str], tuple[nn.Module, Loss]], head: str) -> Run:
    model, loss = make(setting, head)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=1e-4, momentum=0.9, fused=True)

    def step() -> None:
        with setting.device.autocast():
            total = torch.stack(list(loss().values())).sum()
        total.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def our_loss(setting: Setting, head: str) -> tuple[Network, Loss]:
    levels, kind = OURS[head]
    neck = functools.partial(FPN, outputs=levels)
    names = [str(number) for number in range(CLASSES)]
    network = build(Backbone(setting.variant, norm="frozen"), neck, kind, names).to(setting.device.kind).train()
    for stage in ("stem", "layer1"):
        freeze(network.stages()[stage])
    prefix.install(network)
    images, boxes = random_images(setting), random_boxes(setting)
    return network, lambda: network.head.loss(network.run(images), boxes)


def torchvisions_loss(setting: Setting, head: str) -> tuple[nn.Module, Loss]:
    """Built by its own builders, with norms and layers frozen as in its pretrained models; its `forward` after its
    transform, which would resize and normalise."""
    import torchvision
    from torchvision.models.detection.backbone_utils import _resnet_fpn_extractor
    from torchvision.models.detection.image_list import ImageList
    from torchvision.ops import FrozenBatchNorm2d
    from torchvision.ops.feature_pyramid_network import LastLevelP6P7

    body = torchvision.models.get_model(setting.variant, weights=None, norm_layer=FrozenBatchNorm2d)
    if head == "RetinaNet":
        extractor = _resnet_fpn_extractor(body, 3, returned_layers=[2, 3, 4], extra_blocks=LastLevelP6P7(256, 256))
        model = torchvision.models.detection.RetinaNet(extractor, CLASSES)
    else:
        model = torchvision.models.detection.FasterRCNN(_resnet_fpn_extractor(body, 3), CLASSES + 1)
    model = model.to(setting.device.kind, memory_format=torch.channels_last).train()
    batch, side, _ = setting.detection
    listed = ImageList(random_images(setting), [(side, side)] * batch)
    first = 0 if head == "RetinaNet" else 1  # 0 is the background's
    each = random_boxes(setting).split(batch)
    targets = [{"boxes": boxes.boxes, "labels": boxes.labels + first} for boxes in each]

    def loss() -> dict[str, Tensor]:
        maps = model.backbone(listed.tensors)
        if head == "RetinaNet":
            levels = list(maps.values())
            return model.compute_loss(targets, model.head(levels), model.anchor_generator(listed, levels))
        proposals, first_stage = model.rpn(listed, maps, targets)
        _, second_stage = model.roi_heads(maps, proposals, listed.image_sizes, targets)
        return {**first_stage, **second_stage}

    return model, loss


def random_images(setting: Setting) -> Tensor:
    batch, side, _ = setting.detection
    x = torch.randn(batch, 3, side, side, generator=torch.Generator().manual_seed(1))
    return x.to(setting.device.kind, memory_format=torch.channels_last)


def random_boxes(setting: Setting) -> Boxes:
    """Random boxes with sides of a twentieth to half of the image's."""
    batch, side, objects = setting.detection
    generator, count = torch.Generator().manual_seed(2), batch * objects
    corner = torch.rand(count, 2, generator=generator) * 0.9
    sides = 0.05 + 0.45 * torch.rand(count, 2, generator=generator) ** 2
    boxes = clip((torch.cat([corner, corner + sides], 1) * side)[None], torch.tensor([[side, side]]))[0]
    labels = torch.randint(CLASSES, (count,), generator=generator)
    image = torch.arange(batch).repeat_interleave(objects)
    crowd, area = torch.zeros(count, dtype=torch.bool), torch.ones(count)
    return Boxes(boxes, labels, image, crowd, area).to(setting.device.kind)
