"""Our RetinaNet and FCOS compared with torchvision's: a training step on the CPU.

python -m benchmarks detection [--write] [--rounds 10] [--variant resnet50] [--batch 4] [--size 512] [--objects 20]
                               [--threads N] [--heads retinanet fcos] [--parts training assignment memory]

Stem, layer1 and all norms are frozen everywhere, as in torchvision's builders; ours also runs with the frozen prefix
folded, as our command trains it. All start from the same normalised images.
`assignment` is the share of the step that finding each anchor's object takes.
"""

from __future__ import annotations

import argparse
import functools
import os
import resource
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.alternate import Seconds, alternate, quartiles, ratios
from benchmarks.figures import Figure, ratio, write
from benchmarks.machine import machine
from resnet_tl.models.heads.dense import DenseHead
from resnet_tl.models.heads.fcos import FCOS
from resnet_tl.models.heads.retinanet import BACKGROUND, OBJECT, RetinaNet
from resnet_tl.models.matching import match_by_centre, match_by_overlap, pad
from resnet_tl.models.network import Backbone, Network, build
from resnet_tl.models.pyramid import FPN
from resnet_tl.structures.boxes import clip
from resnet_tl.structures.records import Boxes
from resnet_tl.tuning.prefix import Prefix

CLASSES = 91
TARGETS = {"torchvision": 0.90, "torchvision, channels-last": 0.98}
TARGETS_FOLDED = {"torchvision": 0.80}
TARGET_ASSIGNMENT = 0.05
NAMES = {"retinanet": "RetinaNet", "fcos": "FCOS"}
OURS = {"retinanet": RetinaNet, "fcos": FCOS}
CONTESTANTS = ("ours", "ours, folded", "torchvision", "torchvision, channels-last")
Run = Callable[[], object]


@dataclass(frozen=True)
class Setting:
    """Settings of one process of the benchmark."""

    head: str
    variant: str
    batch: int
    size: int
    objects: int
    rounds: int
    threads: int


def main(arguments: list[str]) -> None:
    options = _parser().parse_args(arguments)
    print("  ".join(f"{key} {value}" for key, value in machine().items()))
    results = []
    parts = {"training": measure_time, "assignment": measure_assignment, "memory": measure_memory}
    for head in options.heads:
        shape = (options.variant, options.batch, options.size, options.objects, options.rounds, options.threads)
        setting = Setting(head, *shape)
        print(f"\n{setting}")
        results += [parts[part](setting) for part in options.parts]
    if options.write:
        measured = {"machine": machine(), "results": results}
        write("detection", measured, figures(measured))


def figures(results: dict[str, Any]) -> list[Figure]:
    """Training steps of ours as the command trains it, with the frozen prefix folded, and as it comes."""
    timed = [run for run in results["results"] if run["part"] == "training"]
    return [
        ratio("training_step", NAMES[run["head"]] + how, column, run["seconds"], (name, peer), _target(name, peer))
        for run in timed
        for name, how in (("ours", ""), ("ours, folded", ", frozen part folded"))
        for peer, column in (("torchvision", "default layout"), ("torchvision, channels-last", "channels-last"))
    ]


def _target(name: str, peer: str) -> float | None:
    return (TARGETS if name == "ours" else TARGETS_FOLDED).get(peer)


def measure_time(setting: Setting) -> dict[str, Any]:
    seconds = in_fresh_process(timed, setting)
    print(f"  training step, seconds: median (quartiles) of {setting.rounds}, ratios pair by pair")
    for name, values in seconds.items():
        comparisons = [_compare(seconds, name, peer) for peer in TARGETS if name.startswith("ours")]
        print(f"  {name:<30} {quartiles(values)}   {'   '.join(comparisons)}")
    return {**asdict(setting), "part": "training", "seconds": seconds}


def _compare(seconds: Seconds, name: str, peer: str) -> str:
    compared, target = ratios(seconds, name, peer), _target(name, peer)
    verdict = "" if target is None else f", target {target}: {'met' if compared.median <= target else 'FALLS SHORT'}"
    return f"{compared} x {peer}{verdict}"


def measure_assignment(setting: Setting) -> dict[str, Any]:
    seconds = in_fresh_process(timed_assignment, setting)
    print("  target assignment, share of the whole step, median (quartiles)")
    for name in ("ours", "torchvision"):
        share = ratios(seconds, f"{name}: assignment", name)
        target = f", target {TARGET_ASSIGNMENT}: {'met' if share.median <= TARGET_ASSIGNMENT else 'FALLS SHORT'}"
        print(f"  {name:<30} {share}{target if name == 'ours' else ''}")
    return {**asdict(setting), "part": "assignment", "seconds": seconds}


def measure_memory(setting: Setting) -> dict[str, Any]:
    """Peak resident memory of a process that does two training steps, minus that of one that only imports."""
    peaks = {name: in_fresh_process(peak_memory, setting, name) for name in ("nothing", *CONTESTANTS)}
    print(f"  peak memory of training, MiB beyond {peaks['nothing']:.0f}")
    for name in CONTESTANTS:
        print(f"  {name:<30} {peaks[name] - peaks['nothing']:.0f}")
    return {**asdict(setting), "part": "memory", "peak_mib": peaks}


def in_fresh_process(function: Callable[..., Any], *arguments: object) -> Any:
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def timed(setting: Setting) -> Seconds:
    prepare(setting)
    return alternate({name: trainer(setting, name) for name in CONTESTANTS}, setting.rounds)


def timed_assignment(setting: Setting) -> Seconds:
    prepare(setting)
    contestants = {name: trainer(setting, name) for name in ("ours", "torchvision")}
    contestants |= {
        "ours: assignment": our_assignment(setting),
        "torchvision: assignment": torchvisions_assignment(setting),
    }
    return alternate(contestants, setting.rounds)


def peak_memory(setting: Setting, name: str) -> float:
    prepare(setting)
    if name in CONTESTANTS:
        step = trainer(setting, name)
        step()
        step()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def prepare(setting: Setting) -> None:
    torch.set_num_threads(setting.threads)
    torch.manual_seed(0)


def trainer(setting: Setting, name: str) -> Run:
    """A step of SGD with momentum."""
    model, loss = our_loss(setting, name) if name.startswith("ours") else torchvisions_loss(setting, name)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1e-4, momentum=0.9)

    def step() -> None:
        total = torch.stack(list(loss().values())).sum()
        optimizer.zero_grad()
        total.backward()
        optimizer.step()

    return step


def ours(setting: Setting) -> Network:
    neck = functools.partial(FPN, outputs=("p3", "p4", "p5", "p6", "p7"))
    head = functools.partial(OURS[setting.head], floor_strides=True)
    names = [str(number) for number in range(CLASSES)]
    network = build(Backbone(setting.variant, norm="frozen"), neck, head, names).train()
    for stage in ("stem", "layer1"):
        for module in network.stages()[stage]:
            module.requires_grad_(False)
    return network


def our_loss(setting: Setting, name: str) -> tuple[Network, Callable[[], dict[str, Tensor]]]:
    network, targets = ours(setting), our_targets(setting)
    images = random_images(setting).contiguous(memory_format=torch.channels_last)
    if name == "ours, folded":
        network.prefix = Prefix(network, "layer1")
    return network, lambda: network.head.loss(network.run(images), targets)


def torchvisions(setting: Setting) -> nn.Module:
    """Built by its own builder, with norms and layers frozen as in its pretrained models."""
    import torchvision
    from torchvision.models.detection.backbone_utils import _resnet_fpn_extractor
    from torchvision.ops import FrozenBatchNorm2d
    from torchvision.ops.feature_pyramid_network import LastLevelP6P7

    body = torchvision.models.__dict__[setting.variant](norm_layer=FrozenBatchNorm2d)
    backbone = _resnet_fpn_extractor(body, 3, returned_layers=[2, 3, 4], extra_blocks=LastLevelP6P7(256, 256))
    kind = {"retinanet": "RetinaNet", "fcos": "FCOS"}[setting.head]
    return getattr(torchvision.models.detection, kind)(backbone, CLASSES).train()


def torchvisions_loss(setting: Setting, name: str) -> tuple[nn.Module, Callable[[], dict[str, Tensor]]]:
    """Starts from the normalised tensor and calls the methods that its `forward` calls after its transform."""
    from torchvision.models.detection.image_list import ImageList

    model, images = torchvisions(setting), random_images(setting)
    if name.endswith("channels-last"):
        model = model.to(memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)
    listed = ImageList(images, [(setting.size, setting.size)] * setting.batch)
    targets = [{"boxes": each.boxes, "labels": each.labels} for each in our_targets(setting).split(setting.batch)]

    def loss() -> dict[str, Tensor]:
        maps = list(model.backbone(images).values())
        outputs, anchors = model.head(maps), model.anchor_generator(listed, maps)
        levels = [[x.shape[-2] * x.shape[-1] for x in maps]] if setting.head == "fcos" else []
        return model.compute_loss(targets, outputs, anchors, *levels)

    return model, loss


def our_assignment(setting: Setting) -> Run:
    network, targets = ours(setting), our_targets(setting)
    assert isinstance(network.head, DenseHead)
    grids, size = [(side, side) for side in sides(setting)], (setting.size, setting.size)
    make = network.head.anchors

    def assign() -> None:
        anchors, objects = make(grids, size), pad(targets, setting.batch)
        if setting.head == "retinanet":
            match_by_overlap(objects, torch.cat(anchors), low=BACKGROUND, high=OBJECT)
        else:
            match_by_centre(objects, anchors, radius=1.5)

    return assign


def torchvisions_assignment(setting: Setting) -> Run:
    """Its anchors, and its `compute_loss` up to the loss itself."""
    from torchvision.models.detection.image_list import ImageList

    model, images = torchvisions(setting), random_images(setting)
    listed = ImageList(images, [(setting.size, setting.size)] * setting.batch)
    targets = [{"boxes": each.boxes, "labels": each.labels} for each in our_targets(setting).split(setting.batch)]
    maps = [torch.empty(setting.batch, 1, side, side) for side in sides(setting)]
    model.head.compute_loss = lambda *_: {}
    levels = [[side * side for side in sides(setting)]] if setting.head == "fcos" else []
    return lambda: model.compute_loss(targets, {}, model.anchor_generator(listed, maps), *levels)


def sides(setting: Setting) -> list[int]:
    return [-(-setting.size // stride) for stride in (8, 16, 32, 64, 128)]


def random_images(setting: Setting) -> Tensor:
    return torch.randn(setting.batch, 3, setting.size, setting.size, generator=torch.Generator().manual_seed(1))


def our_targets(setting: Setting) -> Boxes:
    """Random boxes with sides of a twentieth to half of the image's."""
    generator, count = torch.Generator().manual_seed(2), setting.batch * setting.objects
    corner = torch.rand(count, 2, generator=generator) * 0.9
    side = 0.05 + 0.45 * torch.rand(count, 2, generator=generator) ** 2
    boxes = clip((torch.cat([corner, corner + side], 1) * setting.size)[None], torch.tensor([[setting.size] * 2]))[0]
    labels = torch.randint(CLASSES, (count,), generator=generator)
    image = torch.arange(setting.batch).repeat_interleave(setting.objects)
    return Boxes(boxes, labels, image, torch.zeros(count, dtype=torch.bool), torch.ones(count))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks detection")
    parser.add_argument("--write", action="store_true", help="writes benchmarks/results/detection.json")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--variant", default="resnet50")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--objects", type=int, default=20)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--heads", nargs="+", default=list(OURS), choices=list(OURS))
    parts = ["training", "assignment", "memory"]
    parser.add_argument("--parts", nargs="+", default=parts, choices=parts)
    return parser
