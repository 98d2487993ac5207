"""The network of a run, or of all folds as one, with what its checkpoint holds besides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from resnet_tl.checkpoint import Bundle, members, read
from resnet_tl.errors import WeightsError
from resnet_tl.models.ensemble import ensemble
from resnet_tl.models.network import Network, build
from resnet_tl.prediction.exported.load import refuse_exported
from resnet_tl.prediction.published import find_published, read_published
from resnet_tl.recipe.build import foreign_code, instantiate_model
from resnet_tl.structures.decisions import Decisions

ALIKE = ("classes", "preprocessing", "eval_transforms", "colours", "codes")
"""What the checkpoints of an ensemble have in common."""


def read_network(path: str | Path, trust_code: bool) -> tuple[Bundle, Network]:
    """Returns the network of a run folder (its best checkpoint), a checkpoint, or a published folder (also on the
    Hugging Face hub, as `hf://USER/NAME`), and its bundle.

    Of a folder of folds: the network of all, see `resnet_tl.models.ensemble`, and the bundle of the first, whose
    decisions are for the ensemble.

    Raises:
        WeightsError: see `resnet_tl.checkpoint.read` and `members`, `resnet_tl.prediction.published`, and
            `build_network`; folds are not alike; or `path` is an exported file.
    """
    refuse_exported(path)
    if (published := find_published(path)) is not None:
        bundle = read_published(published)
        return replace(bundle, state_dict={}), build_network(bundle, trust_code)
    bundles, networks = [], []
    for each in members(path):
        bundle = read(each)
        networks.append(build_network(bundle, trust_code))
        bundles.append(replace(bundle, state_dict={}))  # not all weights twice
    if len(networks) == 1:
        return bundles[0], networks[0]
    _check_alike(bundles)
    temperatures = [bundle.decisions.temperature or [1.0] for bundle in bundles]
    return replace(bundles[0], decisions=_joint(bundles), class_space=None), ensemble(networks, temperatures)


def _joint(bundles: Sequence[Bundle]) -> Decisions:
    """What holds for the ensemble: temperatures are those of its members, thresholds of boxes are means."""
    scores = [bundle.decisions.box_scores for bundle in bundles]
    known = [each for each in scores if each is not None]
    if len(known) < len(scores):
        return Decisions()
    return Decisions(box_scores=[fmean(each) for each in zip(*known, strict=True)])


def _check_alike(bundles: Sequence[Bundle]) -> None:
    first = bundles[0]
    for other in bundles[1:]:
        if other.recipe["model"] != first.recipe["model"]:
            raise WeightsError(f"{other.path} and {first.path} cannot predict together: their networks differ")
        for name in ALIKE:
            if getattr(other, name) != getattr(first, name):
                raise WeightsError(f"{other.path} and {first.path} cannot predict together: their {name} differ")


def build_network(bundle: Bundle, trust_code: bool) -> Network:
    """Returns the network of a checkpoint, with its weights.

    Raises:
        WeightsError: it needs code outside `resnet_tl` that is not trusted; or its recipe is not valid, or of another
            network than its weights.
    """
    init_args = bundle.recipe["model"]["init_args"]
    check_trust([init_args, bundle.eval_transforms], bundle.path, trust_code)
    parts = instantiate_model(init_args, where=str(bundle.path), trust_code=trust_code)
    if not trust_code:  # a trusted class may not support this
        with torch.device("meta"):  # allocates nothing, whatever sizes the recipe has
            _check_shapes(bundle, build(**parts, classes=bundle.classes))
    network = build(**parts, classes=bundle.classes)
    _check_shapes(bundle, network)
    network.load_state_dict(bundle.state_dict)
    network.preprocessing = bundle.preprocessing
    return network


def check_trust(named: Any, path: Path, trust_code: bool) -> None:
    """Raises WeightsError if a file names code outside `resnet_tl` that is not trusted."""
    foreign = None if trust_code else foreign_code(named)
    if foreign is not None:
        raise WeightsError(
            f"{path}: needs {foreign!r}, which is not part of resnet_tl: add --trust-code "
            "(in Python trust_code=True) if you trust that code"
        )


def _check_shapes(bundle: Bundle, network: Network) -> None:
    expected = {key: list(tensor.shape) for key, tensor in network.state_dict().items()}
    found = {key: list(tensor.shape) for key, tensor in bundle.state_dict.items()}
    for key in [*expected, *found]:
        if expected.get(key) != found.get(key):
            raise WeightsError(
                f"{bundle.path}: its weights are not of the network in its recipe: {key} has the shape "
                f"{found.get(key, 'none')}, expected {expected.get(key, 'none')}"
            )
