"""`resnet-tl serve`: the command, in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

import resnet_tl
from tests.prediction.conftest import draw

pytest.importorskip("fastapi")


MODEL = Path(__file__).resolve().parents[1] / "fixtures" / "saved_2026_11" / "half_run"


@pytest.mark.parametrize(
    ("stop", "code"), [pytest.param(signal.SIGTERM, 0, marks=pytest.mark.slow), (signal.SIGINT, 130)]
)
def test_predictions_by_http_until_a_signal(tmp_path: Path, stop: int, code: int) -> None:
    draw(tmp_path / "a.png", 0)
    (expected,) = resnet_tl.load(str(MODEL)).predict(tmp_path / "a.png")
    words = [sys.executable, "-m", "resnet_tl.cli.main", "serve", str(MODEL), "--port", "0", "--max-mb", "0.1"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        address = process.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:")
        body = (tmp_path / "a.png").read_bytes()
        answer = json.load(urlopen(Request(f"{address}/predict", body, {"Content-Type": "image/png"}), timeout=60))
        (found,) = answer["predictions"]
        assert [each["name"] for each in found["classes"]] == expected.classes
        assert [each["score"] for each in found["classes"]] == pytest.approx(expected.scores, abs=1e-6)
        with pytest.raises(HTTPError, match="413"):
            urlopen(Request(f"{address}/predict", bytes(100_001), {"Content-Type": "image/png"}), timeout=60)
        process.send_signal(stop)
        out, err = process.communicate(timeout=30)
        assert (process.returncode, out, err) == (code, "", "stopped\n" if code else "")
    finally:
        process.kill()


def test_a_port_that_is_taken_is_found_before_the_model_is_loaded(resnet_tl: Callable[..., Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = resnet_tl(f"serve nothing --port {taken.getsockname()[1]}")
    assert done.code == 2
    assert f"port {taken.getsockname()[1] if taken.fileno() >= 0 else ''}" in done.err
    assert "address already in use" in done.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "serve needs a run, checkpoint, exported file or published folder"),
        ("nothing --port 0", "nothing"),
        ("nothing --port 0 --queue 0", "--queue is 0; expected 1 or more"),
        ("nothing --port 0 --max-mb 0", "--max-mb is 0; expected 0.001 or more"),
        ("nothing --port 0 --max-mb nan", "--max-mb nan: expected a number"),
        ("nothing --port 0 --max-mb inf", "--max-mb inf: expected a number"),
        ("nothing --port 0 --deadline-ms -1", "--deadline-ms is -1; expected 0 or more"),
        ("nothing --port 0 --timeout 0.5", "--timeout is 0.5; expected 1 or more"),
        ("nothing --port -1", "--port -1: expected 0 to 65535"),
        ("nothing --port x", "--port x: expected a whole number"),
        ("nothing --hots x", "did you mean --host?"),
    ],
)
def test_mistakes(resnet_tl: Callable[..., Any], words: str, message: str) -> None:
    done = resnet_tl(f"serve {words}")
    assert done.code == 2
    assert message in done.err
    assert os.linesep not in done.err.strip()
