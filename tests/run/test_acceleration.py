"""What a run's settings are, device by device; and that a fit applies them and puts torch's switches back."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from resnet_tl.data.classification import ClassificationData
from resnet_tl.data.detection import DetectionData
from resnet_tl.data.segmentation import SegmentationData
from resnet_tl.models.heads.classification import LinearHead
from resnet_tl.models.network import Backbone, build
from resnet_tl.run.acceleration import Accelerate, Device, Settings, choose, device_of, settings_line
from resnet_tl.run.build import compose
from resnet_tl.run.fit import fit
from resnet_tl.run.precision import Precision
from resnet_tl.tasks.classification import Classification

AUTO = {"channels_last": "auto", "tf32": True, "prefetch": True, "benchmark": None, "deterministic": None}
CLASSIFY, SEGMENT, DETECT = (kind.varying for kind in (ClassificationData, SegmentationData, DetectionData))


def test_recipes_leave_everything_to_the_device(here: Path, images: Path) -> None:
    trainer = compose(["photos.yaml"], [("data.root", images)])["trainer"]
    assert {name: trainer[name] for name in AUTO} == AUTO


@pytest.mark.parametrize(
    ("options", "device", "varying", "expected"),
    [
        ({}, "cuda", CLASSIFY, Settings(True, "always", tf32=True, pinned=True, prefetch=True)),
        ({}, "cuda", SEGMENT, Settings(True, "training", tf32=True, pinned=True, prefetch=True)),
        ({}, "cuda", DETECT, Settings(True, "never", tf32=True, pinned=True, prefetch=True)),
        ({"deterministic": "warn"}, "cuda", CLASSIFY, Settings(True, "never", tf32=True, pinned=True, prefetch=True)),
        ({"benchmark": True}, "cuda", DETECT, Settings(True, "always", tf32=True, pinned=True, prefetch=True)),
        (
            {"benchmark": False, "tf32": False, "prefetch": False, "channels_last": False}, "cuda", CLASSIFY,
            Settings(False, pinned=True),
        ),
        ({}, "cpu", CLASSIFY, Settings(True)),
        ({}, "mps", CLASSIFY, Settings(False)),
        ({"channels_last": True}, "mps", CLASSIFY, Settings(True)),
    ],
)  # fmt: skip
def test_settings_by_device(options: dict[str, Any], device: str, varying: Any, expected: Settings) -> None:
    assert choose({**AUTO, **options}, device, varying=varying) == expected


def test_memory_is_not_pinned_where_the_recipe_says_so() -> None:
    assert not choose(AUTO, "cuda", pinned=False).pinned


def test_one_line_has_them_all() -> None:
    h200 = Device("cuda", "NVIDIA H200")
    precision = Precision("bf16-mixed", "this GPU (compute capability 9.0) multiplies bf16 natively")
    assert settings_line(choose(AUTO, "cuda", fused=True), h200, precision, "2 ranks by DDP") == (
        "settings: NVIDIA H200, bf16-mixed, channels-last, TF32, cudnn.benchmark, pinned memory, prefetch, fused "
        "optimizer, 2 ranks by DDP; bf16-mixed: this GPU (compute capability 9.0) multiplies bf16 natively"
    )
    assert settings_line(Settings(True, "training"), h200, Precision("32-true")) == (
        "settings: NVIDIA H200, 32-true, channels-last, no TF32, cudnn.benchmark in training, no pinned memory, "
        "no prefetch"
    )
    laptop = settings_line(choose(AUTO, "cpu"), Device("cpu", threads=2), Precision("32-true"))
    assert laptop == "settings: cpu, 2 threads, 32-true, channels-last"


@pytest.mark.filterwarnings("error:You have overridden")
def test_a_fit_prints_the_line_once(here: Path, images: Path) -> None:
    values = {"data.root": images, "trainer.accelerator": "cpu", "trainer.limit_train_batches": 1}
    run = fit(["photos.yaml"], list({**values, "trainer.max_epochs": 2, "tracking.report": False}.items()))
    lines = [line for line in (run.path / "log.txt").read_text().splitlines() if "settings: " in line]
    (text,) = (line.partition("settings: ")[2] for line in lines)
    assert re.fullmatch(r"cpu, \d+ threads?, 32, channels-last", text)


@pytest.fixture
def switches(monkeypatch: pytest.MonkeyPatch) -> Any:
    """torch's switches, with values that tests may change."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark
    yield lambda: (matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark)
    matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark = before


def test_switches_are_put_back_and_validation_times_no_shapes(switches: Any) -> None:
    trainer: Any = SimpleNamespace(strategy=SimpleNamespace(root_device=torch.device("cuda")))
    task = Classification(["a", "b"], Backbone("resnet_tiny"))
    before = switches()
    accelerate = Accelerate(Settings(True, "training", tf32=True))
    accelerate.setup(trainer, task, "fit")
    assert switches() == (True, True, True)
    accelerate.on_validation_start(trainer, task)
    assert switches() == (True, True, False)
    accelerate.on_validation_end(trainer, task)
    assert switches() == (True, True, True)
    accelerate.on_exception(trainer, task, KeyboardInterrupt())
    assert switches() == before
    accelerate = Accelerate(Settings(True))
    accelerate.setup(trainer, task, "fit")
    assert switches() == (False, False, False)
    accelerate.teardown(trainer, task, "fit")
    assert switches() == before


def test_a_network_is_laid_out_with_its_maps_and_its_folded_copy() -> None:
    network = build(Backbone("resnet_tiny"), None, LinearHead, ["a", "b"])
    images = torch.randint(256, (2, 3, 32, 32), dtype=torch.uint8).contiguous(memory_format=torch.channels_last)
    expected = network(images)
    network.lay_out(channels_last=False)
    conv = network.trunk.conv1.weight  # type: ignore[attr-defined]
    assert conv.is_contiguous()
    assert network.normalise(images).is_contiguous()
    assert network.trunk(network.normalise(images))["c5"].is_contiguous()
    folded = network.folded_until("layer4")
    assert folded.maps_after("layer4", network.normalise(images))["c5"].is_contiguous()
    torch.testing.assert_close(network(images), expected)
    network.lay_out(channels_last=True)
    assert conv.is_contiguous(memory_format=torch.channels_last)


def test_this_machine() -> None:
    assert device_of("cpu") == Device("cpu", "", torch.get_num_threads())
