"""Objects by import path, `package.module.Name`, and whether one makes what its place in a recipe needs."""

from __future__ import annotations

import importlib
import inspect
import re
import typing
from collections.abc import Callable
from typing import Any

from resnet_tl.errors import RecipeError, did_you_mean
from resnet_tl.ranges import arms, hints_of, parts

_PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")


def is_import_path(text: str) -> bool:
    """Whether a text has the form `package.module.Name`."""
    return _PATH.fullmatch(text) is not None


def import_object(path: str) -> Any:
    """The object at an import path. Raises RecipeError if there is none."""
    if not is_import_path(path):
        raise RecipeError(f"cannot import {path!r}: expected package.module.Name")
    module_name, _, name = path.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # the module is there, and fails to import something of its own
        raise RecipeError(f"cannot import {path!r}: there is no module {error.name!r}") from None
    if not hasattr(module, name):
        raise RecipeError(f"cannot import {path!r}: {module_name} has no {name!r}{did_you_mean(name, vars(module))}")
    return getattr(module, name)


def import_maker(path: str, base: type) -> Any:
    """The class or function at an import path that makes a `base`; nothing is called to find out.

    Raises RecipeError if there is none.
    """
    found = import_object(path)
    if not makes(found, base):
        raise RecipeError(f"{path!r} is not {a(base.__name__)}: expected {asked_for(base)}")
    return found


def makes(found: Any, base: type) -> bool:
    """Whether calling `found` gives a `base`, by what it is or is annotated to return.

    Of a protocol: a class with its methods, or a function that returns one. Of `object`: any class, any annotated
    function.
    """
    if inspect.isclass(found):
        return _fits(found, base)
    if not inspect.isfunction(found):
        return False
    returned = [parts(arm)[0] for arm in arms(hints_of(found).get("return"))]
    return all(inspect.isclass(arm) and arm is not type(None) and _fits(arm, base) for arm in returned)


def returns_function(found: Any) -> bool:
    """Whether `found` is a function annotated to return another."""
    if not inspect.isfunction(found):
        return False
    returned = parts(hints_of(found).get("return"))[0]
    return returned is Callable or typing.get_origin(returned) is Callable


def asked_for(base: type) -> str:
    """What `makes` accepts, in words."""
    if base is object:
        return "a class, or a function whose return type is annotated"
    if _is_protocol(base):
        return f"a class with {', '.join(_methods(base))}, or a function annotated to return one"
    return f"a subclass of {base.__name__}, or a function annotated to return one"


def _fits(kind: type, base: type) -> bool:
    if base is object:
        return True
    if _is_protocol(base):
        return kind is base or all(callable(getattr(kind, name, None)) for name in _methods(base))
    return issubclass(kind, base)


def _is_protocol(base: type) -> bool:
    return bool(getattr(base, "_is_protocol", False))


def _methods(protocol: type) -> list[str]:
    return [name for name, value in vars(protocol).items() if inspect.isfunction(value) and not _is_set_by_python(name)]


def _is_set_by_python(name: str) -> bool:
    return name in ("__init__", "__subclasshook__")


def a(name: str) -> str:
    """A name with its article."""
    return f"an {name}" if name[0] in "AEIOUaeiou" else f"a {name}"
