"""Our exported ResNet compared with torchvision's of the same weights: images a second on the CPU, from bytes to
probabilities.

python -m benchmarks export [--write] [--rounds 8] [--variant resnet50] [--batches 1 16] [--size 224] [--threads N]
                            [--forms onnx pt2 openvino] [--allocators default raised]

All take the same 16 images, uint8, one by one or at once, and normalise them; all end in a softmax. Peers do it in the
module around torchvision's network, which is compiled, or written by torch.onnx, with it. Before anything is timed, the
probabilities of all must agree to 1e-4. `raised`: see `python -m benchmarks resnet`.
"""

from __future__ import annotations

import argparse
import io
import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.alternate import Seconds, alternate, quartiles, ratios
from benchmarks.figures import Figure, write
from benchmarks.machine import machine
from benchmarks.resnet import in_fresh_process, raise_malloc
from resnet_tl import checkpoint
from resnet_tl.export.export import export
from resnet_tl.models.heads.classification import LinearHead
from resnet_tl.models.network import Backbone, build, public_keys
from resnet_tl.prediction.load import load

IMAGES = 16
CLASSES = [str(number) for number in range(1000)]
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LIMIT = 1e-4
NAMES = {"ours, onnx": "ours, ONNX", "ours, pt2": "ours, .pt2", "ours, openvino": "ours, OpenVINO"}
FORMS = ("onnx", "pt2", "openvino")
Predict = Callable[[Tensor], Tensor]
"""Images `[N, 3, S, S]` uint8 -> probabilities `[N, 1000]`."""


@dataclass(frozen=True)
class Files:
    """One network: torchvision's weights and ONNX file, and our files by form."""

    weights: Path
    onnx: Path
    ours: dict[str, Path]


@dataclass(frozen=True)
class Setting:
    """Settings of one process of the benchmark."""

    files: Files
    variant: str
    size: int
    batch: int
    rounds: int
    threads: int
    allocator: str


def main(arguments: list[str]) -> None:
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    print("  ".join(f"{key} {value}" for key, value in machine().items()))
    results = []
    with tempfile.TemporaryDirectory() as name:
        files = write_files(Path(name), options.variant, options.size, options.forms)
        for allocator in options.allocators:
            for batch in options.batches:
                shape = (options.variant, options.size, batch, options.rounds, options.threads)
                results.append(measure(Setting(files, *shape, allocator)))
    if options.write:
        measured = {"machine": machine(), "results": results}
        write("export", measured, figures(measured))


def figures(results: dict[str, Any]) -> list[Figure]:
    """Images a second, with quartiles."""
    return [
        Figure("export", NAMES.get(name, name), _column(run), median, "images/s", None, "higher", low, high)
        for run in results["results"]
        for name, seconds in run["seconds"].items()
        for low, median, high in [quartiles([IMAGES / each for each in seconds])]
    ]


def _column(run: dict[str, Any]) -> str:
    at_once = "one by one" if run["batch"] == 1 else f"{run['batch']} at once"
    return at_once + (", our malloc for all" if run["allocator"] == "raised" else "")


def write_files(folder: Path, variant: str, size: int, forms: list[str]) -> Files:
    """Writes torchvision's network as ONNX, its weights as a checkpoint of ours, and this in each form."""
    peer, weights, onnx, saved = (
        random_network(variant, size),
        folder / "peer.pt",
        folder / "peer.onnx",
        folder / "a.ckpt",
    )
    torch.save(peer.model.state_dict(), weights)
    save_checkpoint(variant, peer.model, saved)
    images, any_number = torch.zeros(2, 3, size, size, dtype=torch.uint8), torch.export.Dim.DYNAMIC
    with redirect_stdout(io.StringIO()):
        program = torch.onnx.export(peer, (images,), dynamo=True, dynamic_shapes=({0: any_number},), verbose=False)
    assert program is not None
    program.save(onnx)
    exports = {form: export(saved, to=form) for form in forms}
    for form, done in exports.items():
        print(f"{form}: {done.agreement}")
    return Files(weights, onnx, {form: done.path for form, done in exports.items()})


class Peer(nn.Module):
    """torchvision's network from bytes to probabilities."""

    mean: Tensor
    std: Tensor

    def __init__(self, model: nn.Module, memory_format: torch.memory_format = torch.contiguous_format) -> None:
        super().__init__()
        self.model, self.memory_format = model.to(memory_format=memory_format), memory_format
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(STD).view(3, 1, 1))
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        normalised = (images.float() / 255 - self.mean) / self.std
        return self.model(normalised.contiguous(memory_format=self.memory_format)).softmax(1)


def random_network(variant: str, size: int) -> Peer:
    """A network with random weights, whose statistics are those of images and whose classes differ."""
    torch.manual_seed(0)
    peer = Peer(torchvisions(variant))
    for module in peer.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        peer.train()(random_images(size))
        peer.model.fc.weight *= 5
    return peer.eval()


def random_images(size: int) -> Tensor:
    """Images `[16, 3, size, size]` uint8: colours that change smoothly, as in photographs, and noise."""
    generator = torch.Generator().manual_seed(1)
    coarse = torch.rand(IMAGES, 3, 5, 5, generator=generator)
    smooth = nn.functional.interpolate(coarse, (size, size), mode="bicubic")
    noise = torch.randn(IMAGES, 3, size, size, generator=generator)
    return (255 * smooth + 10 * noise).clamp(0, 255).to(torch.uint8)


def torchvisions(variant: str) -> nn.Module:
    import torchvision

    return getattr(torchvision.models, variant)()


def save_checkpoint(variant: str, model: nn.Module, path: Path) -> None:
    """Writes torchvision's weights as a checkpoint of the same network of ours, as training does."""
    network = build(Backbone(variant), None, LinearHead, CLASSES)
    weights, names = model.state_dict(), public_keys(network)
    own = {key: value for key, value in network.state_dict().items() if names.get(key) not in weights}
    state = own | {key: weights[name] for key, name in names.items() if name in weights}
    assert len(state) - len(own) == len(weights)
    recipe = {
        "class_path": "resnet_tl.tasks.classification.Classification",
        "init_args": {
            "backbone": {"name": variant},
            "head": {"class_path": "resnet_tl.models.heads.classification.LinearHead"},
        },
    }
    content = checkpoint.bundle(recipe, CLASSES, network.preprocessing, {})
    tensors = {f"network.{key}": value for key, value in state.items()}
    torch.save({checkpoint.KEY: content, "state_dict": tensors, "epoch": 0, "global_step": 0}, path)


def measure(setting: Setting) -> dict[str, Any]:
    seconds, differences = in_fresh_process(timed, setting)
    shape = f"batch {setting.batch}, {setting.size} px, {setting.threads} threads, malloc {setting.allocator}"
    print(f"\n{setting.variant}, {shape}: images a second, median of {setting.rounds}; times as ratios, pair by pair")
    for name, values in seconds.items():
        peers = [peer for peer in seconds if name.startswith("ours") and not peer.startswith("ours")]
        ratio = "   ".join(f"{ratios(seconds, name, peer).median:.2f} x {peer}" for peer in peers)
        print(f"  {name:<36} {IMAGES / quartiles(values).median:6.1f}   {ratio}")
    print(f"  largest difference of a probability from torchvision's: {max(differences.values()):.1e}")
    settings = {name: value for name, value in asdict(setting).items() if name != "files"}
    return {**settings, "seconds": seconds, "differences": differences}


def timed(setting: Setting) -> tuple[Seconds, dict[str, float]]:
    """Seconds for all images by contestant, and how far each is from torchvision's."""
    torch.set_num_threads(setting.threads)
    if setting.allocator == "raised":
        raise_malloc()
    batches = random_images(setting.size).split(setting.batch)
    with torch.inference_mode():
        contestants = predictors(setting)
        outputs = {name: torch.cat(predict_all(predict, batches)) for name, predict in contestants.items()}
        differences = {name: float((each - outputs["torchvision"]).abs().max()) for name, each in outputs.items()}
        assert max(differences.values()) <= LIMIT, differences
        runs = {name: partial(predict_all, predict, batches) for name, predict in contestants.items()}
        return alternate(runs, setting.rounds), differences


def predict_all(predict: Predict, batches: Sequence[Tensor]) -> list[Tensor]:
    return [predict(batch) for batch in batches]


def predictors(setting: Setting) -> dict[str, Predict]:
    plain, channels_last = peer(setting), peer(setting, torch.channels_last)
    return {
        **{f"ours, {form}": ours(path) for form, path in setting.files.ours.items()},
        "torchvision": plain,
        "torchvision, channels-last": channels_last,
        "torchvision, channels-last, compiled": torch.compile(channels_last),
        "torchvision, onnxruntime": onnx_peer(setting),
    }


def ours(path: Path) -> Predict:
    return load(path, trust_code=True).network  # a .pt2 file is code


def peer(setting: Setting, memory_format: torch.memory_format = torch.contiguous_format) -> Peer:
    model = torchvisions(setting.variant)
    model.load_state_dict(torch.load(setting.files.weights))
    return Peer(model, memory_format)


def onnx_peer(setting: Setting) -> Predict:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = setting.threads
    session = onnxruntime.InferenceSession(setting.files.onnx, options, providers=["CPUExecutionProvider"])
    (images,) = session.get_inputs()
    return lambda pixels: torch.from_numpy(session.run(None, {images.name: pixels.numpy()})[0])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks export")
    parser.add_argument("--write", action="store_true", help="writes benchmarks/results/export.json")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--variant", default="resnet50")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--forms", nargs="+", default=list(FORMS), choices=FORMS)
    parser.add_argument("--allocators", nargs="+", default=["default", "raised"], choices=["default", "raised"])
    return parser
