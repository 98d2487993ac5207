"""Folders that `resnet-tl publish` writes: weights by the names that others use, all else that a checkpoint holds
beside them.

model.safetensors: of classifiers by timm's and torchvision's keys, of other networks by their own.
config.json: in timm's form; the entry `resnet_tl` is that of a checkpoint, with `epoch` and `step`.
rest.safetensors: of classifiers, the tensors that timm has no place for, as thresholds of labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from resnet_tl.checkpoint import KEY, SPACE_KEY, Bundle, restored
from resnet_tl.errors import WeightsError
from resnet_tl.models.heads.classification import LinearHead
from resnet_tl.models.network import Network, public_keys
from resnet_tl.structures.decisions import ClassSpace
from resnet_tl.weights.files import read_content, read_json
from resnet_tl.weights.publishers import HUB, hub_folder

WEIGHTS, CONFIG, REST = "model.safetensors", "config.json", "rest.safetensors"
TIMM = "pretrained_cfg"
"""The entry of config.json that those of classifiers have."""
SPACE = f"{SPACE_KEY}."


def find_published(path: str | Path) -> Path | None:
    """Returns the folder at `path`, or of `hf://USER/NAME`, downloaded if necessary; None for runs and checkpoints.

    Raises:
        WeightsError: the hub cannot be reached or has no such model.
    """
    if str(path).startswith(HUB):
        return hub_folder(str(path), (WEIGHTS, CONFIG, REST))
    return Path(path) if (Path(path) / CONFIG).is_file() else None


def read_published(folder: Path) -> Bundle:
    """Reads a published folder.

    Raises:
        WeightsError: a file is missing or damaged, or `resnet-tl publish` has not written it.
    """
    path, config = folder / WEIGHTS, read_json(folder / CONFIG)
    if KEY not in config:
        raise WeightsError(
            f"{folder / CONFIG}: not written by `resnet-tl publish`: it has no entry {KEY!r}; use its weights to start "
            "training, as model.backbone.weights"
        )
    if TIMM in config and not (folder / REST).is_file():
        raise WeightsError(f"{folder / REST}: missing; copy or download the whole folder")
    weights, _ = read_content(path)
    state, space = dict(weights), {}
    if (folder / REST).is_file():
        rest, _ = read_content(folder / REST)
        space = {key.removeprefix(SPACE): value for key, value in rest.items() if key.startswith(SPACE)}
        state = {_own_key(key): value for key, value in weights.items()}
        state |= {key: value for key, value in rest.items() if not key.startswith(SPACE)}
    ours = config[KEY] if isinstance(config[KEY], dict) else {}
    content: dict[str, Any] = {
        KEY: config[KEY],
        "state_dict": {f"network.{key}": value for key, value in state.items()},
        "epoch": ours.get("epoch"),
        "global_step": ours.get("step"),
    }
    return restored(content | ({SPACE_KEY: space} if space else {}), path)


def to_tensors(network: Network, space: ClassSpace | None) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Returns the tensors of model.safetensors and of rest.safetensors."""
    state: Mapping[str, Tensor] = network.state_dict()
    if not isinstance(network.head, LinearHead):
        return dict(state), {}
    public = {key: name for key, name in public_keys(network).items() if key.startswith(("trunk.", "head.fc."))}
    arrays = {} if space is None else asdict(space)
    rest = {key: value for key, value in state.items() if key not in public}
    rest |= {f"{SPACE}{name}": torch.from_numpy(values) for name, values in arrays.items()}
    return {name: state[key] for key, name in public.items()}, rest


def _own_key(name: str) -> str:
    return f"head.{name}" if name.startswith("fc.") else f"trunk.{name}"
