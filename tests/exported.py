"""Exported forms of saved checkpoints, without a file: torch runs the graph."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from resnet_tl.export.graph import Graph
from resnet_tl.prediction.exported.description import describe, read_description
from resnet_tl.prediction.exported.network import ExportedNetwork
from resnet_tl.prediction.load import task_of
from resnet_tl.prediction.members import read_network
from resnet_tl.run.evaluated import Opened
from resnet_tl.structures.decisions import Decisions

SAVED = Path(__file__).parent / "fixtures" / "saved_2026_11"


def opened(
    name: str, *, temperature: Sequence[float] | None = None, batch: int | None = None, broken: bool = False
) -> Opened:
    """The exported form of a saved checkpoint; torch runs its graph."""
    bundle, network = read_network(SAVED / name, False)
    task = task_of(network)
    bundle = replace(bundle, decisions=Decisions(temperature=None if temperature is None else list(temperature)))
    graph = Graph(network, task, bundle.decisions.temperature).eval()

    @torch.inference_mode()
    def run(images: NDArray[np.uint8]) -> list[NDArray[Any]]:
        assert batch in (None, len(images))
        outputs = [output.numpy().copy() for output in graph(torch.from_numpy(images))]
        if broken:
            outputs[0][:] = math.nan
        return outputs

    description, described = read_description(describe(bundle, task, graph.names(3), None, batch), bundle.path)
    return ExportedNetwork(run, description, described.preprocessing), described
