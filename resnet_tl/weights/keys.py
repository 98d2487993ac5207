"""Foreign layouts -> torchvision's keys.

Nothing here knows a list of wrappers: of all the dictionaries in a file, and all the prefixes that its keys could have,
the pair counts under which most tensors of the wanted network appear, by key and then by shape.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from torch import Tensor

from resnet_tl.weights.report import is_counter

Shape: TypeAlias = tuple[int, ...]

PREFERRED = ("state_dict_ema", "model_ema", "ema", "teacher", "encoder_q", "base_encoder", "state_dict", "model")
"""Between copies of the same network in one file: the averaged one, as timm and DINO evaluate it, and the trained one
rather than its momentum copy, as MoCo does."""

CLASSIFIERS = ("fc", "linear", "head.fc", "classifier", "head", "last_linear")
"""What files call the last linear layer, beside the trunk or around it."""


@dataclass(frozen=True)
class Layout:
    """How a file holds a network.

    Args:
        path: the keys that lead to the dictionary: `("state_dict",)`.
        prefix: what stands before torchvision's keys in it: "module.".
        tensors: torchvision's key -> tensor; the classifier's are `fc.*`, other parts' of ours `head.*` and `neck.*`.
        others: keys of that dictionary outside the prefix.
        matched: tensors of the wanted network that are there, by key and shape.
    """

    path: tuple[str, ...]
    prefix: str
    tensors: dict[str, Tensor]
    others: list[str]
    matched: int

    @property
    def note(self) -> str:
        """What was unwrapped: "under 'state_dict', prefix 'module.'", or nothing."""
        parts = [f"under {'.'.join(self.path)!r}"] if self.path else []
        return ", ".join([*parts, f"prefix {self.prefix!r}"] if self.prefix else parts)


def find_layout(content: Mapping[Any, Any], wanted: Mapping[str, Shape]) -> Layout:
    """The place in a file's content that fits the trunk whose shapes are `wanted`; empty where nothing has such keys.

    Deterministic: by tensors matched in key, then also in shape, then `PREFERRED`, then the shortest place.
    """
    wanted = {key: shape for key, shape in wanted.items() if not is_counter(key)}
    places = [
        (keys, shapes, -_rank(path, prefix), -len(path), -len(prefix), path, prefix)
        for path, tensors in _dictionaries(content)
        for prefix, (keys, shapes) in _prefixes(tensors, wanted).items()
    ]
    if not places:
        return Layout((), "", {}, [], 0)
    _, matched, *_, path, prefix = max(places)
    tensors = dict(_dictionaries(content))[path]
    return _layout(path, prefix, tensors, matched)


def _layout(path: tuple[str, ...], prefix: str, tensors: dict[str, Tensor], matched: int) -> Layout:
    head = _head(tensors, prefix)
    public = {key.removeprefix(prefix): key for key in tensors if key.startswith(prefix) and key not in head.values()}
    public |= head | _beside_trunk(tensors, prefix, head)
    used = set(public.values())
    return Layout(
        path,
        prefix,
        tensors={name: tensors[key] for name, key in public.items()},
        others=[key for key in tensors if key not in used],
        matched=matched,
    )


def _dictionaries(
    content: Mapping[Any, Any], path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], dict[str, Tensor]]]:
    """Every dictionary in the content that holds tensors by name, with the keys that lead to it."""
    tensors = {key: value for key, value in content.items() if isinstance(key, str) and isinstance(value, Tensor)}
    if tensors:
        yield path, tensors
    for key, value in content.items():
        if isinstance(key, str) and isinstance(value, Mapping):
            yield from _dictionaries(value, (*path, key))


def _prefixes(tensors: Mapping[str, Tensor], wanted: Mapping[str, Shape]) -> dict[str, tuple[int, int]]:
    """Each prefix that some key has before a wanted one: how many wanted tensors it gives, by key, by key and shape."""
    shapes: Counter[str] = Counter()
    keys: Counter[str] = Counter()
    for key, tensor in tensors.items():
        for prefix, rest in _cuts(key):
            if rest in wanted:
                keys[prefix] += 1
                shapes[prefix] += tuple(tensor.shape) == wanted[rest]
    return {prefix: (count, shapes[prefix]) for prefix, count in keys.items()}


def _cuts(key: str) -> Iterator[tuple[str, str]]:
    """`a.b.c` -> ("", a.b.c), ("a.", b.c), ("a.b.", c)."""
    yield "", key
    for position, letter in enumerate(key):
        if letter == ".":
            yield key[: position + 1], key[position + 1 :]


def _rank(path: tuple[str, ...], prefix: str) -> int:
    words = {*path, *prefix.split(".")}
    return next((number for number, word in enumerate(PREFERRED) if word in words), len(PREFERRED))


def _head(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, str]:
    """Torchvision's key -> the file's, of the classifier beside the trunk or around it, and of the head it is part of.

    A trunk at `network.trunk.` may have its classifier at `network.trunk.fc.`, `network.fc.`, `network.head.fc.`, `fc.`
    """
    for root in _roots(prefix):
        for name in CLASSIFIERS:
            weight, bias = f"{root}{name}.weight", f"{root}{name}.bias"
            if weight in tensors and tensors[weight].ndim in ((2, 4) if name == "head.fc" else (2,)):
                found = {"fc.weight": weight} | ({"fc.bias": bias} if bias in tensors else {})
                return found | _rest_of_head(tensors, f"{root}head.", found)
    return next(filter(None, (_dense_head(tensors, root) for root in _roots(prefix))), {})


def _dense_head(tensors: Mapping[str, Tensor], root: str) -> dict[str, str]:
    """Ours -> the file's, of torchvision's heads of segmentation: `classifier.0` to the last convolution, which
    classifies, and the same in `aux_classifier`."""
    found: dict[str, str] = {}
    for name, place in (("classifier", ""), ("aux_classifier", "head.auxiliary.")):
        layers = [key.removeprefix(f"{root}{name}.") for key in tensors if key.startswith(f"{root}{name}.")]
        convolutions = [key.partition(".")[0] for key in layers if tensors[f"{root}{name}.{key}"].ndim == 4]
        last = max(convolutions, key=int, default=None) if all(map(str.isdigit, convolutions)) else None
        for key in layers if last is not None else ():
            number, _, leaf = key.partition(".")
            ours = f"{place}fc.{leaf}" if number == last else f"{place or 'head.'}decoder.{key}"
            found[ours] = f"{root}{name}.{key}"
    return found


def _rest_of_head(tensors: Mapping[str, Tensor], place: str, found: Mapping[str, str]) -> dict[str, str]:
    keys = [key for key in tensors if key.startswith(place) and key not in found.values()]
    return {f"head.{key.removeprefix(place)}": key for key in keys}


def _beside_trunk(tensors: Mapping[str, Tensor], prefix: str, head: Mapping[str, str]) -> dict[str, str]:
    """Our own neck, and a head without a classifier, of a trunk at `network.trunk.`"""
    if not prefix.endswith("trunk."):
        return {}
    root = prefix.removesuffix("trunk.")
    places = (f"{root}neck.", f"{root}head.")
    return {key.removeprefix(root): key for key in tensors if key.startswith(places) and key not in head.values()}


def _roots(prefix: str) -> list[str]:
    """`network.trunk.` -> itself, `network.` and nothing."""
    parts = prefix.split(".")[:-1]
    return ["".join(f"{part}." for part in parts[:count]) for count in range(len(parts), -1, -1)]
