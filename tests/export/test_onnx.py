"""ONNX files of every head compute what the network does, for images of other numbers and sizes than traced."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from export_graphs import GRAPHS, check_runtime, example_of, names

from resnet_tl.export.onnx import write_onnx
from resnet_tl.prediction.exported.onnx import open_onnx


@pytest.mark.parametrize("name", names("fcn", "mask_rcnn", "mask_rcnn_without_objects"))
def test_every_head(name: str, tmp_path: Path) -> None:
    graph = GRAPHS[name]()
    assert graph.batch == (1 if "mask_rcnn" in name else None)
    write_onnx(graph, *example_of(graph), "{}", tmp_path / "graph.onnx")
    run, description = open_onnx(tmp_path / "graph.onnx")
    assert description == "{}"
    check_runtime(run, graph)


def test_onnxruntime_can_be_told_one_size_by_its_name(tmp_path: Path) -> None:
    graph, path = GRAPHS["fcn"](), tmp_path / "graph.onnx"
    images, outputs = example_of(graph)
    write_onnx(graph, images, outputs, "{}", path)
    options = onnxruntime.SessionOptions()
    for name, value in zip(("height", "width"), images.shape[2:], strict=True):
        options.add_free_dimension_override_by_name(name, value)
    session = onnxruntime.InferenceSession(path, options)
    assert session.get_inputs()[0].shape == ["batch", *images.shape[1:]]
    run, _ = open_onnx(path)
    (fixed,), (free,) = session.run(None, {"images": images.numpy()}), run(images.numpy())
    assert np.allclose(fixed, free, atol=1e-5)
