"""Models of timm as teachers, by name, with timm's weights or those of a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from resnet_tl.errors import RecipeError, WeightsError, did_you_mean
from resnet_tl.files import did_you_mean_path
from resnet_tl.tuning.teacher import Teacher
from resnet_tl.weights.files import read_content
from resnet_tl.weights.publishers import first_line, timm_record

PREFIX = "timm/"
STATES = ("state_dict_ema", "model_ema", "state_dict", "model")
"""Under which timm's checkpoints hold their weights, the preferred first."""
WRAPPERS = ("_orig_mod.", "module.")
"""Before the keys of compiled networks and of those that several GPUs trained."""


def read_timm(name: str, settings: Teacher, channels: int) -> TimmClassifier:
    """Returns the model called `timm/NAME` for images of so many channels.

    Raises:
        RecipeError: timm has no such model.
        WeightsError: its weights cannot be fetched or read, or are of another model.
    """
    import timm

    model, _, tag = name.removeprefix(PREFIX).partition(".")
    if not timm.is_model(model):
        raise RecipeError(
            f"tuning.teacher.network: timm has no model {model!r}{did_you_mean(model, timm.list_models())}"
        )
    full = f"{model}.{tag}" if tag else model
    state = None if settings.file is None else _read_state(settings.file)
    options: dict[str, Any] = {"in_chans": channels}
    if state is not None:
        options["num_classes"] = _outputs(model, state)
    try:
        net: Any = timm.create_model(full, pretrained=state is None, **options)
    except Exception as error:  # of huggingface_hub, its client, or timm: all mean that there are no weights
        raise WeightsError(
            f"tuning.teacher.network: {name}: its weights cannot be fetched: {first_line(error)}; a local file can be "
            "named as tuning.teacher.file"
        ) from None
    if state is not None:
        _load(net, state, name, settings.file)
    if settings.size is not None and hasattr(net, "set_input_size"):
        net.set_input_size(img_size=settings.size)
    return TimmClassifier(net, name, channels)


class TimmClassifier(nn.Module):
    """A model of timm as `resnet_tl.run.teacher.Classifier`."""

    mean: Tensor
    std: Tensor
    multi_label = None

    def __init__(self, net: Any, name: str, channels: int) -> None:
        super().__init__()
        from timm.data import resolve_model_data_config

        config = resolve_model_data_config(net)
        self.net, self.name = net, name
        self.mean, self.std = (_per_channel(config[which], channels) for which in ("mean", "std"))
        self.size: int = config["input_size"][-1]
        self.outputs: int = net.num_classes
        classes = timm_record(name, {**net.pretrained_cfg}).classes
        self.classes: Sequence[str] | None = classes if classes and len(classes) == self.outputs else None
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it

    def level(self, name: str) -> nn.Module:
        try:
            module: nn.Module = self.net.get_submodule(name)
        except AttributeError:
            known = [path for path, _ in self.net.named_modules() if path and path.count(".") < 2]
            raise RecipeError(
                f"tuning.teacher.teacher_level is {name!r}, which {self.name} does not have{did_you_mean(name, known)}"
            ) from None
        return module

    def forward(self, images: Tensor) -> tuple[Tensor | None, Tensor]:
        maps = self.net.forward_features(images)
        logits = self.net.forward_head(maps) if self.outputs else None
        return logits, self.net.forward_head(maps, pre_logits=True)


def _read_state(file: str) -> dict[str, Tensor]:
    path = Path(file).expanduser()
    if not path.is_file():
        raise WeightsError(f"tuning.teacher.file: there is no {file!r}{did_you_mean_path(path)}")
    content: Any = read_content(path)[0]
    inner = next((content[key] for key in STATES if isinstance(content.get(key), Mapping)), content)
    state = {}
    for key, value in inner.items():
        for wrapper in WRAPPERS:
            key = key.removeprefix(wrapper)
        state[key] = value
    return state


def _outputs(model: str, state: Mapping[str, Tensor]) -> int:
    """Returns how many outputs the classifier in a file has; 0 without one."""
    import timm

    config = timm.get_pretrained_cfg(model, allow_unregistered=True)
    classifier = config.classifier if config is not None else None
    first = classifier[0] if isinstance(classifier, (list, tuple)) else classifier
    weight = state.get(f"{first}.weight")
    return 0 if weight is None else len(weight)


def _load(net: nn.Module, state: Mapping[str, Tensor], name: str, file: str | None) -> None:
    expected = {key: tuple(value.shape) for key, value in net.state_dict().items()}
    found = {key: tuple(value.shape) for key, value in state.items()}
    for key in [*expected, *found]:
        if expected.get(key) != found.get(key):
            raise WeightsError(
                f"{file}: its weights are not of {name}: {key} has the shape {found.get(key, 'none')}, expected "
                f"{expected.get(key, 'none')}"
            )
    net.load_state_dict(state)


def _per_channel(values: Sequence[float], channels: int) -> Tensor:
    if len(values) == channels:
        return torch.tensor(values)
    return torch.full((channels,), sum(values) / len(values))
