"""OpenVINO's folders that are damaged, incomplete or mixed up are refused in a sentence, and nothing is reported."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import openvino
import pytest
from openvino import opset13

import resnet_tl
from resnet_tl.errors import WeightsError
from resnet_tl.export.openvino import save


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("openvino") / "model"
    save(model(2.0), path)
    return path


def model(factor: float) -> openvino.Model:
    images = opset13.parameter([-1, 3, -1, -1], openvino.Type.u8, name="images")
    scaled = opset13.multiply(opset13.convert(images, "f32"), opset13.constant([factor] * 64, openvino.Type.f32))
    scaled.output(0).set_names({"probabilities"})
    return openvino.Model([scaled], [images])


def other_weights(folder: Path) -> None:
    save(model(3.0), folder / "other")
    shutil.copy(folder / "other" / "model.bin", folder / "model.bin")


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda folder: None, "not exported by `resnet-tl export`"),
        (lambda folder: (folder / "model.bin").unlink(), r"its weights are missing; expected model\.bin next to it"),
        (other_weights, r"model\.bin: not the weights of model\.xml; copy both files again"),
        (lambda folder: cut(folder / "model.bin"), r"model\.xml: not readable as an OpenVINO model \(\w+"),
        (lambda folder: cut(folder / "model.xml"), r"model\.xml: not readable as an OpenVINO model \(\w+"),
        (lambda folder: (folder / "model.xml").write_text("<a/>"), "not exported by `resnet-tl export`"),
        (lambda folder: (folder / "model.xml").write_bytes(b"\xff\xd8"), "not readable as an OpenVINO model"),
    ],
)
def test_faults(damage: Callable[[Path], object], sentence: str, folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "model")
    damage(tmp_path / "model")
    for path in (tmp_path / "model", tmp_path / "model" / "model.xml"):
        with pytest.raises(WeightsError, match=sentence) as raised:
            resnet_tl.load(path)
        assert "\n" not in str(raised.value)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def test_its_import_reports_nothing() -> None:
    program = (
        "import sys\nfrom resnet_tl.prediction.exported.openvino import without_telemetry\n"
        "with without_telemetry():\n    import openvino\n"
        "print([name for name in sys.modules if name.startswith('openvino_telemetry')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_signals_are_handled_after_two_models_are_gone(folder: Path) -> None:
    """Of which the second one ends last."""
    script = f"""
import gc, signal
from pathlib import Path
from resnet_tl.prediction.exported.openvino import open_openvino
signal.signal(signal.SIGTERM, lambda *_: print("handled"))
first = open_openvino(Path({str(folder / "model.xml")!r}))
second = open_openvino(Path({str(folder / "model.xml")!r}))
for number in range(2):
    first, second = second, None
    gc.collect()
signal.raise_signal(signal.SIGTERM)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "handled\n"), done.stderr
