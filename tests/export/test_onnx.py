"""ONNX files of every head compute what the network does, for images of other numbers and sizes than traced."""

from __future__ import annotations

from pathlib import Path

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
