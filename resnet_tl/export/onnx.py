"""Writes a graph as an ONNX file (opset 20)."""

from __future__ import annotations

import contextlib
import io
import operator
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import torchvision  # noqa: F401  its import registers the operator that `_nms` translates
from torch import Tensor

from resnet_tl.checkpoint import KEY
from resnet_tl.errors import RunError
from resnet_tl.export.graph import Graph

OPSET = 20
PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def write_onnx(graph: Graph, example: Tensor, description: str, path: Path) -> None:
    """Writes the graph; any number and size of images fit it.

    Args:
        example: images `[N, C, H, W]` of a size that no level of the network reduces to a single row or column.
        description: see `describe`; the file's metadata hold it.

    Raises:
        RunError: the network does what a graph cannot.
    """
    any_size = {"images": {0: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}}
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # of deprecations within torch and onnxscript
        try:
            program = torch.onnx.export(
                graph,
                (example,),
                dynamo=True,
                opset_version=OPSET,
                input_names=["images"],
                output_names=graph.names(len(graph(example))),
                dynamic_shapes=any_size,
                custom_translation_table={operator.floordiv: _floordiv, torch.ops.torchvision.nms.default: _nms},
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            lines = str(error.__cause__ or error).strip().splitlines()
            raise RunError(f"{path}: this network cannot be traced as a graph ({lines[0]})") from error
    assert program is not None
    program.model.metadata_props[KEY] = description
    program.save(path, external_data=False)


def require_packages() -> None:
    """Raises RunError if what writes and checks ONNX files is not installed."""
    missing = [package for package in PACKAGES if find_spec(package) is None]
    if missing:
        raise RunError(f"an export to ONNX needs {', '.join(missing)}: pip install 'resnet-tl[onnx]'")


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
