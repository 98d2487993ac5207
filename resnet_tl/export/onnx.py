"""Writes a graph as an ONNX file."""

from __future__ import annotations

import contextlib
import io
import logging
import operator
import warnings
from pathlib import Path
from typing import Any

import torch
import torchvision  # noqa: F401  its import registers the operator that `_nms` translates
from torch import Tensor

from resnet_tl.checkpoint import KEY
from resnet_tl.errors import RunError
from resnet_tl.export.graph import Graph

OPSET, TRACE_OPSET = 20, 17
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
"""What writes and checks ONNX files."""


def write_onnx(graph: Graph, example: Tensor, outputs: list[str], description: str, path: Path) -> None:
    """Writes the graph; images of any size fit it, and `graph.batch` of them.

    Args:
        example: images `[N, C, H, W]` of a size that no level of the network reduces to a single row or column.
        outputs: names of what the graph returns.
        description: see `describe`; the file's metadata hold it.

    Raises:
        RunError: the network does what a graph cannot.
    """
    logging.getLogger("onnx_ir").setLevel(logging.ERROR)  # it warns of empty lists in torch's own translations
    write = _write_by_export if graph.batch is None else _write_by_trace
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # of deprecations within torch and onnxscript
        try:
            write(graph, example, outputs, path)
        except torch.onnx.errors.OnnxExporterError as error:
            lines = str(error.__cause__ or error).strip().splitlines()
            raise RunError(f"this network cannot be written as ONNX ({lines[0]})") from error
    _describe(path, description)


def _write_by_export(graph: Graph, example: Tensor, outputs: list[str], path: Path) -> None:
    program = torch.onnx.export(
        graph,
        (example,),
        dynamo=True,
        opset_version=OPSET,
        input_names=["images"],
        output_names=outputs,
        dynamic_shapes={"images": {0: "batch", 2: "height", 3: "width"}},
        custom_translation_table={operator.floordiv: _floordiv, torch.ops.torchvision.nms.default: _nms},
        verbose=False,
    )
    assert program is not None
    program.save(path, external_data=False)


def _write_by_trace(graph: Graph, example: Tensor, outputs: list[str], path: Path) -> None:
    # torch.export cannot follow torchvision's two-stage detectors, whose numbers of regions depend on the image. The
    # older exporter can, with torchvision's own translations, for one image.
    torch.onnx.export(
        graph,
        (example,),
        path,
        dynamo=False,
        opset_version=TRACE_OPSET,
        input_names=["images"],
        output_names=outputs,
        dynamic_axes={"images": {2: "height", 3: "width"}, **{name: {1: "objects"} for name in outputs}},
    )


def _describe(path: Path, description: str) -> None:
    import onnx

    model = onnx.load(path)
    model.metadata_props.add(key=KEY, value=description)
    onnx.save(model, path)


def _floordiv(number: Any, divisor: Any) -> Any:
    """Translates `//` of whole numbers, which rounds down; ONNX's division rounds towards zero."""
    from onnxscript import opset20

    op: Any = opset20
    return op.Div(op.Sub(number, op.Mod(number, divisor)), divisor)


def _nms(boxes: Any, scores: Any, iou_threshold: float) -> Any:
    """Translates torchvision's NMS of boxes `[M, 4]` and scores `[M]`, which may be fp64, to ONNX's, which is fp32."""
    from onnxscript import FLOAT, opset20

    op: Any = opset20  # its annotations are of values within a graph

    one_image, one_class = op.Constant(value_ints=[0]), op.Constant(value_ints=[0, 1])
    selected = op.NonMaxSuppression(
        op.Unsqueeze(op.Cast(boxes, to=FLOAT.dtype), one_image),
        op.Unsqueeze(op.Cast(scores, to=FLOAT.dtype), one_class),
        op.Constant(value_ints=[torch.iinfo(torch.int32).max]),
        op.Constant(value_floats=[iou_threshold]),
    )  # rows of (image, class, box)
    return op.Gather(selected, op.Constant(value_int=2), axis=1)
