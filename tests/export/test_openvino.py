"""OpenVINO's models of every head compute what the network does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from export_graphs import GRAPHS, check_runtime, example_of, names
from PIL import Image

from resnet_tl.export.openvino import write_openvino
from resnet_tl.prediction.exported.openvino import open_openvino


@pytest.mark.parametrize("name", names("fcn", "mask_rcnn_without_objects"))
def test_every_head(name: str, tmp_path: Path) -> None:
    graph = GRAPHS[name]()
    write_openvino(graph, *example_of(graph), '{"of": "é"}', tmp_path / "model")
    run, description = open_openvino(tmp_path / "model" / "model.xml")
    assert description == '{"of": "é"}'
    check_runtime(run, graph)


def test_the_readme_runs_without_this_project(tmp_path: Path) -> None:
    graph = GRAPHS["linear"]()
    write_openvino(graph, *example_of(graph), json.dumps({"classes": ["a"]}), tmp_path / "model")
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "model" / "photo.jpg")
    readme = (tmp_path / "model" / "README.md").read_text()
    assert str(tmp_path) not in readme
    assert str(tmp_path) not in (tmp_path / "model" / "model.xml").read_text()
    program = readme.split("```python")[1].split("```")[0]
    program += f"print({readme.rpartition('JSON:')[2].split('`')[1]})\n"
    path = {**os.environ, "PYTHONPATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path / "model", env=path, capture_output=True, text=True, check=True
    )
    probabilities, about = done.stdout.strip().rsplit("\n", 1)
    pixels = np.asarray(Image.open(tmp_path / "model" / "photo.jpg")).transpose(2, 0, 1)[None]
    expected = open_openvino(tmp_path / "model" / "model.xml")[0](pixels)[0]
    np.testing.assert_allclose(np.array(probabilities.strip("[]").split(), float), expected[0], atol=1e-5)
    assert json.loads(about) == {"classes": ["a"]}
