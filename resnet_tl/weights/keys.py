"""Maps foreign layouts of weight files to torchvision's keys.

There is no list of known wrappers: of all dictionaries in a file, and all prefixes that their keys could have, the pair
wins under which most tensors of the network are found, by key and then by shape.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from torch import Tensor

from resnet_tl.weights.report import is_counter

Shape: TypeAlias = tuple[int, ...]

Content: TypeAlias = Mapping[Any, Any]
"""What a weight file holds: tensors and other values in nested dictionaries."""

PREFERRED = ("state_dict_ema", "model_ema", "ema", "teacher", "encoder_q", "base_encoder", "state_dict", "model")
"""Order of preference between copies of a network in one file: the averaged one, which timm and DINO evaluate, and the
trained one before its momentum copy, as in MoCo."""

CLASSIFIERS = ("fc", "linear", "head.fc", "classifier", "head", "last_linear")
"""Names of the last linear layer in files, next to the trunk or around it."""


@dataclass(frozen=True)
class Layout:
    """How a file stores a network.

    Args:
        path: the keys that lead to the dictionary: `("state_dict",)`.
        prefix: of torchvision's keys in it: "module.".
        tensors: torchvision's key -> tensor; `fc.*` of the classifier, `head.*` and `neck.*` of other parts of a
            `Network`.
        others: keys of that dictionary outside the prefix.
        matched: number of the network's tensors that were found, by key and shape.
    """

    path: tuple[str, ...]
    prefix: str
    tensors: dict[str, Tensor]
    others: list[str]
    matched: int

    @property
    def note(self) -> str:
        """Describes what was unwrapped: "under 'state_dict', prefix 'module.'"; empty for nothing."""
        parts = [f"under {'.'.join(self.path)!r}"] if self.path else []
        return ", ".join([*parts, f"prefix {self.prefix!r}"] if self.prefix else parts)


def find_layout(content: Content, expected: Mapping[str, Shape]) -> Layout:
    """Finds the place in a file's content that fits the trunk of shapes `expected`; empty if no key matches.

    Deterministic: the most matching keys win, then the most matching shapes, then `PREFERRED`, then the shortest place.
    """
    expected = {key: shape for key, shape in expected.items() if not is_counter(key)}
    # Keys before shapes: a network of another width has all keys and few shapes, and the refusal should name it, rather
    # than a block inside it whose shapes happen to match.
    places = [
        (keys, shapes, -_rank(path, prefix), -len(path), -len(prefix), path, prefix)
        for path, tensors in _dictionaries(content)
        for prefix, (keys, shapes) in _prefixes(tensors, expected).items()
    ]
    if not places:
        return Layout((), "", {}, [], 0)
    _, matched, *_, path, prefix = max(places)
    tensors = dict(_dictionaries(content))[path]
    return _layout(path, prefix, tensors, matched)


def _layout(path: tuple[str, ...], prefix: str, tensors: dict[str, Tensor], matched: int) -> Layout:
    head = _head(tensors, prefix)
    public = {key.removeprefix(prefix): key for key in tensors if key.startswith(prefix) and key not in head.values()}
    public |= head | _around_trunk(tensors, prefix, head)
    used = set(public.values())
    return Layout(
        path,
        prefix,
        tensors={name: tensors[key] for name, key in public.items()},
        others=[key for key in tensors if key not in used],
        matched=matched,
    )


def _dictionaries(content: Content, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], dict[str, Tensor]]]:
    """Yields every dictionary in the content that holds tensors by name, with the keys that lead to it."""
    tensors = {key: value for key, value in content.items() if isinstance(key, str) and isinstance(value, Tensor)}
    if tensors:
        yield path, tensors
    for key, value in content.items():
        if isinstance(key, str) and isinstance(value, Mapping):
            yield from _dictionaries(value, (*path, key))


def _prefixes(tensors: Mapping[str, Tensor], expected: Mapping[str, Shape]) -> dict[str, tuple[int, int]]:
    """Returns every prefix before an expected key, with the number of tensors that match by key, and by key and
    shape."""
    shapes: Counter[str] = Counter()
    keys: Counter[str] = Counter()
    for key, tensor in tensors.items():
        for prefix, rest in _cuts(key):
            if rest in expected:
                keys[prefix] += 1
                shapes[prefix] += tuple(tensor.shape) == expected[rest]
    return {prefix: (count, shapes[prefix]) for prefix, count in keys.items()}


def _cuts(key: str) -> Iterator[tuple[str, str]]:
    """Splits a key at every dot: `a.b.c` -> ("", a.b.c), ("a.", b.c), ("a.b.", c)."""
    yield "", key
    for position, letter in enumerate(key):
        if letter == ".":
            yield key[: position + 1], key[position + 1 :]


def _rank(path: tuple[str, ...], prefix: str) -> int:
    """Returns the position in `PREFERRED` of the first word that occurs in the place."""
    words = {*path, *prefix.split(".")}
    return next((number for number, word in enumerate(PREFERRED) if word in words), len(PREFERRED))


def _head(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, str]:
    """Maps torchvision's keys to the file's, for the classifier next to the trunk or around it, and the rest of its
    head.

    A trunk at `network.trunk.` may have its classifier at `network.trunk.fc.`, `network.fc.`, `network.head.fc.`, `fc.`
    """
    for root in _roots(prefix):
        for name in CLASSIFIERS:
            weight, bias = f"{root}{name}.weight", f"{root}{name}.bias"
            if weight in tensors and tensors[weight].ndim in ((2, 4) if name == "head.fc" else (2,)):
                classifier = {"fc.weight": weight} | ({"fc.bias": bias} if bias in tensors else {})
                return classifier | _rest_of_head(tensors, f"{root}head.", classifier)
    return next(filter(None, (_dense_head(tensors, root) for root in _roots(prefix))), {})


def _dense_head(tensors: Mapping[str, Tensor], root: str) -> dict[str, str]:
    """Maps public keys to the file's, for torchvision's segmentation heads: `classifier.0` up to the last convolution,
    which classifies, and the same in `aux_classifier`."""
    keys: dict[str, str] = {}
    for name, place in (("classifier", ""), ("aux_classifier", "head.auxiliary.")):
        layers = [key.removeprefix(f"{root}{name}.") for key in tensors if key.startswith(f"{root}{name}.")]
        convolutions = [key.partition(".")[0] for key in layers if tensors[f"{root}{name}.{key}"].ndim == 4]
        last = max(convolutions, key=int, default=None) if all(map(str.isdigit, convolutions)) else None
        for key in layers if last is not None else ():
            number, _, leaf = key.partition(".")
            public = f"{place}fc.{leaf}" if number == last else f"{place or 'head.'}decoder.{key}"
            keys[public] = f"{root}{name}.{key}"
    return keys


def _rest_of_head(tensors: Mapping[str, Tensor], place: str, classifier: Mapping[str, str]) -> dict[str, str]:
    keys = [key for key in tensors if key.startswith(place) and key not in classifier.values()]
    return {f"head.{key.removeprefix(place)}": key for key in keys}


def _around_trunk(tensors: Mapping[str, Tensor], prefix: str, head: Mapping[str, str]) -> dict[str, str]:
    """Maps public keys to the file's, for the neck, and a head without a classifier, around a `Network`'s trunk."""
    if not prefix.endswith("trunk."):
        return {}
    root = prefix.removesuffix("trunk.")
    places = (f"{root}neck.", f"{root}head.")
    return {key.removeprefix(root): key for key in tensors if key.startswith(places) and key not in head.values()}


def _roots(prefix: str) -> list[str]:
    """Lists the places around a prefix: `network.trunk.` -> itself, `network.` and the top."""
    parts = prefix.split(".")[:-1]
    return ["".join(f"{part}." for part in parts[:count]) for count in range(len(parts), -1, -1)]
