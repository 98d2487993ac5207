"""Files of torch.export compute what the network does, for images of other numbers and sizes than traced."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from export_graphs import GRAPHS, check_runtime, example_of, names
from torch import Tensor

from resnet_tl.errors import RunError
from resnet_tl.export.graph import Graph
from resnet_tl.export.pt2 import write_compiled, write_pt2
from resnet_tl.prediction.exported.pt2 import open_pt2

TRACED = [name for name in names("linear", "fcn") if "mask_rcnn" not in str(name)]


@pytest.mark.parametrize("name", TRACED)
def test_every_head(name: str, tmp_path: Path) -> None:
    check_file(write_pt2, name, tmp_path / "graph.pt2")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["linear", "unet"])
def test_compiled_graphs(name: str, tmp_path: Path) -> None:
    check_file(write_compiled, name, tmp_path / "graph.pt2")


def check_file(write: Callable[[Graph, Tensor, str, Path], None], name: str, path: Path) -> None:
    graph = GRAPHS[name]()
    write(graph, example_of(graph)[0], "{}", path)
    run, description = open_pt2(path)
    assert description == "{}"
    check_runtime(run, graph)


def test_two_stage_detectors_are_refused(tmp_path: Path) -> None:
    graph = GRAPHS["mask_rcnn"]()
    with pytest.raises(RunError, match=r"two-stage detectors cannot be a \.pt2: .* use --to onnx"):
        write_pt2(graph, example_of(graph)[0], "{}", tmp_path / "graph.pt2")


def test_detectors_are_not_compiled(tmp_path: Path) -> None:
    graph = GRAPHS["fcos"]()
    with pytest.raises(RunError, match=r"^detectors cannot be compiled to a \.pt2; leave out --compiled$"):
        write_compiled(graph, example_of(graph)[0], "{}", tmp_path / "graph.pt2")


def test_a_compiled_graph_needs_a_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", ("no-such-compiler",))
    graph = GRAPHS["linear"]()
    with pytest.raises(RunError, match=r"needs a C\+\+ compiler: install g\+\+, or leave out --compiled"):
        write_compiled(graph, example_of(graph)[0], "{}", tmp_path / "graph.pt2")
