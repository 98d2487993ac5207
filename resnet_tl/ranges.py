"""A value's range as part of its type, `Annotated[float, Ge(0), Le(1)]`, checked where an object is made.

Recipes are checked against the same types before anything is made, with file and line; this is the check for Python
code, and the words for both. Imports nothing heavy.
"""

from __future__ import annotations

import functools
import inspect
import sys
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Annotated, Any, Literal, TypeVar

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen, MultipleOf

from resnet_tl.errors import RecipeError, did_you_mean

LARGEST = 3.4028234663852886e38
"""Of single precision, in which networks compute."""

PositiveInt = Annotated[int, Ge(1)]
NonNegativeInt = Annotated[int, Ge(0)]
PositiveFloat = Annotated[float, Gt(0)]
NonNegativeFloat = Annotated[float, Ge(0)]
Fraction = Annotated[float, Ge(0), Le(1)]
FractionBelow1 = Annotated[float, Ge(0), Lt(1)]
PositiveFraction = Annotated[float, Gt(0), Le(1)]
Pixels = Annotated[int, Ge(1), Le(16384)]
"""A side of an image; more pixels than that fit no device."""
Factor = Annotated[float, Gt(0), Le(16)]
"""On the size of an image."""
Seed = Annotated[int, Ge(0), Le(2**32 - 1)]
ImageChannels = Annotated[int, Ge(1), Le(1024)]
Channels = Annotated[int, Ge(1), Le(65536)]
"""The width of a layer."""

Class = TypeVar("Class", bound=type)


def checked(name: str) -> Callable[[Class], Class]:
    """Decorates a class whose constructor refuses values outside the ranges of its arguments' types.

    name: what a recipe calls the object: `data`, `optimizer`; messages begin with `data.batch_size`.

    The constructor raises RecipeError. A subclass that passes options on to it is checked too.
    """

    def decorate(cls: Class) -> Class:
        constructor = vars(cls)["__init__"]
        signature = inspect.signature(constructor)

        @functools.lru_cache(None)
        def hints() -> dict[str, Any]:
            return hints_of(constructor)

        @functools.wraps(constructor)
        def __init__(self: Any, *args: Any, **options: Any) -> None:
            try:
                given = signature.bind(self, *args, **options).arguments
            except TypeError:  # the constructor says it better
                given = {}
            for key, value in given.items():
                if key in hints():
                    check(f"{name}.{key}", value, hints()[key])
            constructor(self, *args, **options)

        cls.__init__ = __init__  # type: ignore[misc]
        return cls

    return decorate


def check(name: str, value: Any, hint: Any) -> None:
    """Raises RecipeError for a number, text or list outside the range of its type, and for a float in place of an int;
    other kinds are not checked."""
    if not within(value, hint):
        near = did_you_mean(value, choices(hint)) if isinstance(value, str) else ""
        raise RecipeError(f"{name} must be {allowed(hint)}, got {value!r}{near}")


def within(value: Any, hint: Any) -> bool:
    """Whether a value is in the range of a type. Values of another kind than the type's are, but no float is an
    int."""
    verdicts = {_verdict(value, *parts(arm)) for arm in arms(hint)}
    return True in verdicts or False not in verdicts


def allowed(hint: Any) -> str:
    """A type and its range in a user's words: `int >= 1`, `one of 'avg', 'max'`, `a list of float > 0 or null`."""
    words = [_allowed(*parts(arm)) for arm in sorted(arms(hint), key=lambda arm: arm is type(None))]
    return " or ".join(dict.fromkeys(words))


def choices(hint: Any) -> list[str]:
    """The words among which a type lets choose."""
    values = [value for arm in arms(hint) if typing.get_origin(arm) is Literal for value in typing.get_args(arm)]
    return [value for value in values if isinstance(value, str)]


def arms(hint: Any) -> tuple[Any, ...]:
    """The alternatives of a union; any other type is its only alternative."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return tuple(arm for member in typing.get_args(hint) for arm in arms(member))
    return (hint,)


def parts(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """A type without its range, and the range."""
    if typing.get_origin(hint) is Annotated:
        bare, *limits = typing.get_args(hint)
        return bare, tuple(limits)
    return hint, ()


def hints_of(function: Callable[..., Any]) -> dict[str, Any]:
    """Type hints one by one: a name that only a type checker imports leaves its own parameter untyped, no other."""
    function = inspect.unwrap(function)
    scope = vars(sys.modules[function.__module__])
    hints: dict[str, Any] = {}
    for name, annotation in getattr(function, "__annotations__", {}).items():
        alone = types.SimpleNamespace(__annotations__={name: annotation})
        try:
            hints |= typing.get_type_hints(alone, globalns=scope, localns=scope, include_extras=True)
        except NameError:
            hints[name] = Any
    return hints


def in_words(limits: Sequence[Any]) -> str:
    """A range as it follows a type: ` >= 1`, ` in [0, 1)`, `, a multiple of 32`, `, not empty`."""
    low = next((limit for limit in limits if isinstance(limit, Ge | Gt)), None)
    high = next((limit for limit in limits if isinstance(limit, Le | Lt)), None)
    text = ""
    if low and high:
        opening, closing = "(["[isinstance(low, Ge)], ")]"[isinstance(high, Le)]
        text = f" in {opening}{_bound(low)}, {_bound(high)}{closing}"
    elif low:
        text = f" {'>=' if isinstance(low, Ge) else '>'} {_bound(low)}"
    elif high:
        text = f" {'<=' if isinstance(high, Le) else '<'} {_bound(high)}"
    for limit in limits:
        if isinstance(limit, MultipleOf):
            text += f", a multiple of {limit.multiple_of}"
        if isinstance(limit, MinLen):
            text += ", not empty" if limit.min_length == 1 else f", {limit.min_length} or more"
        if isinstance(limit, MaxLen):
            text += f", at most {limit.max_length}"
    return text


def _bound(limit: Any) -> Any:
    return getattr(limit, type(limit).__name__.lower())  # Ge(ge=0)


def _verdict(value: Any, bare: Any, limits: tuple[Any, ...]) -> bool | None:
    """Whether a value is right; None if it is of another kind."""
    origin, arguments = typing.get_origin(bare), typing.get_args(bare)
    if bare in (bool, str, type(None)):
        return True if isinstance(value, bare) else None
    if origin is Literal:
        kinds = {type(choice) for choice in arguments}
        return (value in arguments) if type(value) in kinds else None
    if bare in (int, float):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return None
        if bare is int and isinstance(value, float):
            return False
        return abs(value) <= LARGEST and _inside(value, limits)
    if origin in (list, tuple, Sequence) and isinstance(value, Sequence) and not isinstance(value, str):
        fixed = origin is tuple and arguments[-1] is not Ellipsis
        if fixed and len(value) != len(arguments):
            return False
        items = arguments if fixed else [arguments[0]] * len(value)
        return _inside(value, limits) and all(map(within, value, items))
    if origin in (dict, Mapping) and isinstance(value, Mapping):
        return _inside(value, limits) and all(within(item, arguments[1]) for item in value.values())
    return None if _is_plain(bare) else True


def _is_plain(bare: Any) -> bool:
    """Whether `_verdict` checks this type."""
    return bare in (bool, str, int, float, type(None)) or typing.get_origin(bare) in (
        Literal, list, tuple, Sequence, dict, Mapping
    )  # fmt: skip


def _inside(value: Any, limits: tuple[Any, ...]) -> bool:
    return all(_holds(value, limit) for limit in limits)


def _holds(value: Any, limit: Any) -> bool:
    match limit:
        case Ge(ge=bound):
            return value >= bound
        case Gt(gt=bound):
            return value > bound
        case Le(le=bound):
            return value <= bound
        case Lt(lt=bound):
            return value < bound
        case MultipleOf(multiple_of=bound):
            return value % bound == 0
        case MinLen(min_length=bound):
            return len(value) >= bound
        case MaxLen(max_length=bound):
            return len(value) <= bound
    return True


def _allowed(bare: Any, limits: tuple[Any, ...]) -> str:
    origin, arguments = typing.get_origin(bare), typing.get_args(bare)
    if origin is Literal:
        return f"one of {', '.join(map(repr, arguments))}" if len(arguments) > 1 else repr(arguments[0])
    if origin in (list, tuple, set, Sequence):
        fixed = origin is tuple and arguments[-1] is not Ellipsis
        return f"a list of {f'{len(arguments)} ' if fixed else ''}{allowed(arguments[0])}{in_words(limits)}"
    if origin in (dict, Mapping) and arguments[1] is not Any:
        return f"a mapping to {allowed(arguments[1])}{in_words(limits)}"
    if dict in (bare, origin):
        return "a mapping"
    match limits:
        case (Ge() as low, Le() as high) if _bound(low) == _bound(high):
            return str(_bound(low))
    if origin is Callable:
        return _allowed(arguments[1], limits)
    named = {
        type(None): "null", bool: "true or false", list: "a list", tuple: "a list", Any: "anything",
        timedelta: "a number of seconds",
    }  # fmt: skip
    return named.get(bare, getattr(bare, "__name__", str(bare))) + in_words(limits)
