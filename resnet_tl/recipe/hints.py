"""Type hints at work: a value as its type reads it, and a type in a user's words."""

from __future__ import annotations

import functools
import typing
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Annotated, Any, Literal

from resnet_tl import ranges
from resnet_tl.errors import RecipeError
from resnet_tl.imports import a
from resnet_tl.ranges import arms, parts
from resnet_tl.recipe.node import Node, plain
from resnet_tl.recipe.parse import parse as parse_yaml
from resnet_tl.recipe.schema import factory_of, fields_of, mapping_of
from resnet_tl.recipe.values import as_plain

if typing.TYPE_CHECKING:
    from pydantic import TypeAdapter


def parse(node: Node, hint: Any) -> Any:
    """The value as its type reads it: `"1e-4"` as a float, `2024` typed after an option as the text that a name is.

    Raises a bare ValueError for another type, or outside the type's range.
    """
    accepted = tuple(arm for arm in arms(hint) if factory_of(arm) is None and mapping_of(arm) is None)
    if node.value is None and {type(None), Any} & set(accepted):
        return None
    if node.value is None or not accepted:
        raise ValueError
    from pydantic import ValidationError

    adapter = _adapter(typing.Union[accepted])  # noqa: UP007 (built at run time)
    for value in _readings(node):
        try:
            return as_plain(adapter.validate_python(value))
        except ValidationError:
            continue
    raise ValueError


def describe(hint: Any) -> str:
    """A type in a user's words: `int >= 1`, `one of 'avg', 'max'`, `a list of int or null`."""
    words = [_describe_arm(arm) for arm in sorted(arms(hint), key=lambda arm: arm is type(None))]
    return " or ".join(dict.fromkeys(words))


def _readings(node: Node) -> list[Any]:
    """What a node can mean, the likeliest first: its value, quoted text without the quotes, the text of an option."""
    readings = [plain(node)]
    if isinstance(node.value, str):
        with suppress(RecipeError):
            readings.append(plain(parse_yaml(node.value, "", [])))
    if node.text is not None:
        readings.append(node.text)
    return readings


@functools.lru_cache(512)
def _adapter(hint: Any) -> TypeAdapter[Any]:
    from pydantic import ConfigDict, TypeAdapter
    from pydantic.errors import PydanticSchemaGenerationError

    try:
        return TypeAdapter(_strict(hint), config=ConfigDict(arbitrary_types_allowed=True))
    except PydanticSchemaGenerationError:  # a type that nobody can check from outside
        return TypeAdapter(Any)


def _strict(hint: Any) -> Any:
    """Returns the type with our rules for pydantic: true is not an int, 1 is not true, NaN and infinity not numbers.

    Lists may stand for tuples; nothing else is converted.
    """
    from pydantic import AfterValidator, AllowInfNan, Strict

    bare, limits = parts(hint)
    origin, arguments = typing.get_origin(bare), typing.get_args(bare)
    if bare is float:
        return _annotated(float, Strict(), AllowInfNan(False), *limits)
    if bare is timedelta:
        return _annotated(float, Strict(), AllowInfNan(False))  # seconds
    if bare in (int, str, bool):
        return _annotated(bare, Strict(), *limits)
    if origin is Literal:
        return Annotated[Any, AfterValidator(functools.partial(_one_of, arguments))]
    if len(arms(hint)) > 1:
        return typing.Union[tuple(map(_strict, arms(hint)))]  # noqa: UP007
    if origin in (list, tuple, set, dict, Sequence, Mapping):
        items = tuple(item if item is Ellipsis else _strict(item) for item in arguments)
        if origin in (dict, Mapping) and arguments and parts(arguments[0])[0] is int:
            items = (arguments[0], items[1])  # not strict: a recipe's keys are text
        return _annotated(origin[items], *limits)
    return hint


def _annotated(bare: Any, *limits: Any) -> Any:
    both = (bare, *limits)
    return Annotated[both] if limits else bare


def _one_of(choices: tuple[Any, ...], value: Any) -> Any:
    if not any(type(choice) is type(value) and choice == value for choice in choices):
        raise ValueError
    return value


def _describe_arm(arm: Any) -> str:
    bare, limits = parts(arm)
    factory, mapping = factory_of(arm), mapping_of(arm)
    if factory is not None:
        return f"the class_path of {a(factory.base.__name__)}"
    if mapping is not None:
        keys = list(fields_of(mapping))
        return f"a mapping of {', '.join(keys[:6])}" + (", ..." if len(keys) > 6 else "")
    if typing.get_origin(bare) in (list, tuple, set, Sequence) and factory_of(typing.get_args(bare)[0]) is not None:
        return f"a list of {describe(typing.get_args(bare)[0])}{ranges.in_words(limits)}"
    if typing.get_origin(bare) in (list, Sequence) and mapping_of(typing.get_args(bare)[0]) is not None:
        return f"a list of {describe(typing.get_args(bare)[0])}{ranges.in_words(limits)}"
    return ranges.allowed(arm)
