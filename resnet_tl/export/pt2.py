"""Writes a graph as a .pt2 file of torch.export, for plain torch; compiled, for machines like this one."""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path

import torch
import torchvision  # noqa: F401  its import registers NMS
from torch import Tensor
from torch.export import ExportedProgram

from resnet_tl.checkpoint import KEY
from resnet_tl.errors import RunError
from resnet_tl.export.graph import Graph


def write_pt2(graph: Graph, example: Tensor, description: str, path: Path) -> None:
    """Writes the graph; images of any number and size fit it.

    Args:
        example: images `[N, C, H, W]` of a size that no level of the network reduces to a single row or column.
        description: see `describe`; the file holds it as the extra file `resnet_tl`.

    Raises:
        RunError: the network does what torch.export cannot follow.
    """
    program = _traced(graph, example)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of weights that are parts of a larger tensor, which torch stores whole
        torch.export.save(program, path, extra_files={KEY: description})


def write_compiled(graph: Graph, example: Tensor, description: str, path: Path) -> None:
    """Writes the graph as a library for the processor of this machine, see `write_pt2`.

    Raises:
        RunError: also, no C++ compiler works here, or the network detects objects, which takes AOTInductor longer than
            anyone waits.
    """
    from torch._inductor import aoti_compile_and_package
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import CppCompileError, InvalidCxxCompiler

    if graph.task == "detection":
        raise RunError("detectors cannot be compiled to a .pt2; leave out --compiled")
    try:
        get_cpp_compiler()
        program = _traced(graph, example)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            aoti_compile_and_package(program, package_path=str(path))
    except InvalidCxxCompiler as error:
        raise RunError("a compiled .pt2 needs a C++ compiler: install g++, or leave out --compiled") from error
    except CppCompileError as error:
        fault = next((line for line in error.output.splitlines() if "error" in line), "no message")
        raise RunError(f"the C++ compiler fails on this network ({fault}); leave out --compiled") from error
    with zipfile.ZipFile(path, "a") as archive:
        root = archive.namelist()[0].partition("/")[0]
        archive.writestr(f"{root}/extra/{KEY}", description)


def _traced(graph: Graph, example: Tensor) -> ExportedProgram:
    if graph.batch is not None:
        raise RunError("two-stage detectors cannot be a .pt2: their numbers of regions depend on the image, which "
                       "torch.export cannot follow; use --to onnx or openvino")  # fmt: skip
    dynamic = torch.export.Dim.DYNAMIC
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.export.export(
            graph, (example,), dynamic_shapes={"images": {0: dynamic, 2: dynamic, 3: dynamic}}
        )
    _unbound(program)
    return program


def _unbound(program: ExportedProgram) -> None:
    """Removes the limits of the images' sizes. torch derives them from how it lays out memory while it traces, as that
    the deepest level has more than one row. The operators themselves compute every size."""
    from torch.utils._sympy.value_ranges import ValueRanges

    for symbol, sizes in program.range_constraints.items():
        if sizes.lower > 1:
            program.range_constraints[symbol] = ValueRanges(1, sizes.upper)
    getattr(program, "_guards_code", []).clear()
