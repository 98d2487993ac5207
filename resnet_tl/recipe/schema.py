"""What a recipe may say: the keys, types and defaults of the classes it names."""

from __future__ import annotations

import ast
import dataclasses
import enum
import functools
import inspect
import textwrap
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from resnet_tl import imports
from resnet_tl.errors import RecipeError, did_you_mean
from resnet_tl.ranges import arms, hints_of, parts
from resnet_tl.recipe.moved import MOVED

REQUIRED: Any = inspect.Parameter.empty
_VALUES = (str, int, float, dict, list, tuple, set, type(None), Path, timedelta, enum.Enum)


@dataclass(frozen=True)
class Field:
    """A key of a mapping: its type, its default or `REQUIRED`, and a description where no docstring has one.

    detected: what a recipe may write in place of the class of an object that is found by other means, or leave out.
    """

    hint: Any
    default: Any = REQUIRED
    description: str = ""
    detected: str = ""


@dataclass(frozen=True)
class Section:
    """A mapping whose keys are listed here instead of in a class: a type hint like any other.

    source: the class whose docstring describes the keys, if any.
    """

    fields: dict[str, Field]
    source: Any = None


@dataclass(frozen=True)
class Factory:
    """An object named by `class_path` and `init_args`, or something that builds one later from `given` more arguments.

    `Callable[[list[Level], list[str]], Head]` is a factory of `Head` with two arguments given: its class's first two
    parameters are not the recipe's. A plain class is a factory with none.
    """

    base: type
    given: int
    late: bool


def fields_of(target: Any, given: int = 0) -> dict[str, Field]:
    """The keys of a class's, dataclass's or function's parameters, without its first `given` ones.

    A constructor's `**options` stands for those parameters of the next constructor up its line of classes that it does
    not pass itself.
    """
    if isinstance(target, Section):
        return target.fields
    if dataclasses.is_dataclass(target):
        hints = typing.get_type_hints(target, include_extras=True)
        return {f.name: Field(hints[f.name], _dataclass_default(f)) for f in dataclasses.fields(target) if f.init}
    if not inspect.isclass(target):
        return _parameters(target, given)[0]
    fields: dict[str, Field] = {}
    passed: set[str] = set()
    for owner in target.__mro__[:-1]:
        if "__init__" not in vars(owner):
            continue
        constructor = vars(owner)["__init__"]
        found, passes_on = _parameters(constructor, given + 1)
        fields |= {name: field for name, field in found.items() if name not in fields and name not in passed}
        if not passes_on:
            break
        given, passed = _passed_up(constructor, given)
    return fields


def mapping_of(hint: Any) -> Any | None:
    """The `Section` or dataclass among a hint's arms."""
    bare = (typing.get_origin(arm) or arm for arm in arms(hint))  # a dataclass may be generic: `Pair[int]`
    return next((a for a in bare if isinstance(a, Section) or _is_dataclass(a)), None)


def factory_of(hint: Any) -> Factory | None:
    """The class, or callable that returns one, among a hint's arms."""
    for arm in arms(hint):
        if _is_class(arm) and not issubclass(arm, _VALUES):
            return Factory(arm, 0, late=False)
        if typing.get_origin(arm) is Callable:
            arguments, returned = typing.get_args(arm) or (..., Any)
            base = returned if inspect.isclass(returned) else object
            return Factory(base, 0 if arguments is Ellipsis else len(arguments), late=True)
    return None


def item_of(hint: Any) -> Any | None:
    """The type of the items, where a hint is a list of mappings or of objects."""
    for arm in (parts(arm)[0] for arm in arms(hint)):
        if typing.get_origin(arm) in (list, Sequence) and typing.get_args(arm):
            item = typing.get_args(arm)[0]
            if mapping_of(item) or factory_of(item):
                return item
    return None


def find_class(name: str, base: type, given: int = 0) -> Any:
    """What makes a `base` and is called `name`: a full import path, or the short name of a known class.

    Raises RecipeError without a place: the caller knows where the name was written.
    """
    if "." in name:
        found = imports.import_maker(MOVED.get(name, name), base)
    else:
        known: dict[str, type] = {kind.__name__: kind for kind in kinds_of(base)}
        if name not in known:
            names = names_of(base, given)
            few = f"; there are {', '.join(sorted(names))}" if 0 < len(names) < 20 else ""
            near = did_you_mean(name, names) or few
            raise RecipeError(f"no {base.__name__} is called {name!r}{near} (your own class: package.module.Class)")
        found = known[name]
    if found.__module__.startswith("resnet_tl.") and not can_be_named(found, given):
        below = [kind.__name__ for kind in kinds_of(found) if kind is not found]
        raise RecipeError(f"{name!r} is only a base class: expected one of {', '.join(below)}")
    return found


def names_of(base: type, given: int) -> list[str]:
    """The short names by which a recipe can name a `base`."""
    return [kind.__name__ for kind in kinds_of(base) if can_be_named(kind, given)]


def can_be_named(kind: Any, given: int) -> bool:
    """Whether a recipe can give all that a class needs: no argument without a default is an object."""
    return not any(
        field.default is REQUIRED and (mapping_of(field.hint) is not None or factory_of(field.hint) is not None)
        for field in fields_of(kind, given).values()
    )


def kinds_of(base: type) -> list[type]:
    """The subclasses of `base` that can be built, as far as they were imported; itself where there are none."""
    if base is object:
        return []
    found: list[type] = []
    subclasses: list[type] = list(base.__subclasses__())
    while subclasses:
        kind = subclasses.pop(0)
        found.append(kind)
        subclasses += kind.__subclasses__()
    return [kind for kind in found if not inspect.isabstract(kind)] or [base]


def import_object(path: str) -> Any:
    """The object at `package.module.Name`, or where it has moved to."""
    return imports.import_object(MOVED.get(path, path))


def import_path(target: Any) -> str:
    return f"{target.__module__}.{target.__qualname__}"


def _is_class(arm: Any) -> bool:
    plain_class = inspect.isclass(arm) and typing.get_origin(arm) is None
    return plain_class and arm is not object and arm is not Any and not _is_dataclass(arm)


def _is_dataclass(arm: Any) -> bool:
    return inspect.isclass(arm) and dataclasses.is_dataclass(arm)


def _dataclass_default(field: dataclasses.Field) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return REQUIRED if field.default is dataclasses.MISSING else field.default


@functools.cache
def _parameters(function: Callable[..., Any], given: int) -> tuple[dict[str, Field], bool]:
    """The fields of a function's parameters after the first `given`, and whether `**options` takes more."""
    parameters = list(inspect.signature(function).parameters.values())
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    left = [*positional[given:], *(p for p in parameters if p.kind is p.KEYWORD_ONLY)]
    hints = hints_of(function)
    fields = {p.name: Field(hints.get(p.name, Any), p.default) for p in left}
    return fields, any(p.kind is p.VAR_KEYWORD for p in parameters)


@functools.cache
def _passed_up(constructor: Callable[..., Any], given: int) -> tuple[int, set[str]]:
    """How many arguments, and which by name, a constructor itself passes to `super().__init__`."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(constructor)))
    except (OSError, TypeError, SyntaxError):
        raise RecipeError(
            f"{import_path(constructor)} takes **{_options_name(constructor)}, and its source, which shows for which "
            "arguments, cannot be read; expected them one by one"
        ) from None
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "super().__init__":
            splat = any(isinstance(argument, ast.Starred) for argument in call.args)
            return given if splat else len(call.args), {word.arg for word in call.keywords if word.arg}
    return given, set()


def _options_name(constructor: Callable[..., Any]) -> str:
    parameters = inspect.signature(constructor).parameters.values()
    return next(parameter.name for parameter in parameters if parameter.kind is parameter.VAR_KEYWORD)
