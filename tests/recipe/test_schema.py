"""What keys a class takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from resnet_tl.errors import RecipeError
from resnet_tl.recipe.schema import (
    REQUIRED,
    factory_of,
    fields_of,
    find_class,
    import_object,
    item_of,
    kinds_of,
    mapping_of,
    names_of,
)


def test_the_given_parameters_are_not_the_recipes(world: SimpleNamespace) -> None:
    assert list(fields_of(world.Flat, 2)) == ["dropout", "pool"]


def test_options_stand_for_the_parents_parameters_that_are_not_passed(world: SimpleNamespace) -> None:
    assert list(fields_of(world.Deep, 2)) == ["hidden", "dropout", "pool"]
    assert list(fields_of(world.Fixed, 2)) == ["untyped", "dropout"]
    assert list(fields_of(world.Starred, 2)) == ["extra", "dropout", "pool"]
    assert list(fields_of(world.Folder)) == ["root", "batch_size", "weights"]


def test_a_type_that_only_a_checker_imports_leaves_its_own_parameter_untyped(world: SimpleNamespace) -> None:
    fields = fields_of(world.Fixed, 2)
    assert fields["untyped"].hint is Any
    assert fields["dropout"].hint is float


def test_defaults_of_dataclasses(world: SimpleNamespace) -> None:
    fields = fields_of(world.Optimizer)
    assert (fields["name"].default, fields["options"].default) == ("sgd", {})
    assert fields_of(world.Folder)["root"].default is REQUIRED


def test_what_a_hint_holds(world: SimpleNamespace) -> None:
    late = factory_of(Callable[[list[int], list[str]], world.Head] | None)
    assert late is not None
    assert (late.base, late.given, late.late) == (world.Head, 2, True)
    assert factory_of(str | world.Data).base is world.Data  # type: ignore[union-attr]
    assert mapping_of(world.Phase | None) is world.Phase
    assert item_of(list[world.Phase] | None) is world.Phase
    for plain in (int, str | None, list[str], dict[str, int], Any, Path, tuple[int, ...], list[dict], bool | str):
        assert factory_of(plain) is mapping_of(plain) is item_of(plain) is None, plain


def test_kinds_are_the_subclasses_that_can_be_built(world: SimpleNamespace) -> None:
    assert {kind.__name__ for kind in kinds_of(world.Head)} == {"Flat", "Deep", "Starred", "Fixed", "Towered"}
    assert kinds_of(world.Phase) == [world.Phase]


def test_a_base_that_takes_an_object_is_no_choice(world: SimpleNamespace) -> None:
    assert "Listed" not in names_of(world.Data, 0)
    with pytest.raises(RecipeError, match="no Data is called 'Liste'; there are Folder, Table "):
        find_class("Liste", world.Data)


def test_classes_are_found_by_name_and_by_import_path(world: SimpleNamespace) -> None:
    assert find_class("Deep", world.Head) is world.Deep
    assert find_class("collections.OrderedDict", dict).__name__ == "OrderedDict"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Dep", "no Head is called 'Dep'; did you mean 'Deep'?"),
        ("Zzz", "no Head is called 'Zzz'; there are Deep, Fixed, Flat, Starred, Towered "),
        ("nowhere.at.All", "cannot import 'nowhere.at.All': there is no module 'nowhere'"),
        ("json.nowhere.All", "cannot import 'json.nowhere.All': there is no module 'json.nowhere'"),
        ("json.JSONDecodr", "cannot import 'json.JSONDecodr': json has no 'JSONDecodr'; did you mean 'JSONDecoder'?"),
        ("json.JSONDecoder", "'json.JSONDecoder' is not a Head: expected a subclass of Head, or a function "),
    ],
)
def test_a_class_that_is_not_there(world: SimpleNamespace, name: str, message: str) -> None:
    with pytest.raises(RecipeError) as error:
        find_class(name, world.Head)
    assert str(error.value).startswith(message)


def test_a_module_that_fails_by_itself_is_a_bug_and_stays_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "users_module.py").write_text("import not_installed_anywhere\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="not_installed_anywhere"):
        import_object("users_module.Head")


def test_options_of_a_constructor_without_source_are_a_sentence(world: SimpleNamespace) -> None:
    made = {"Flat": world.Flat}
    exec("class Typed(Flat):\n    def __init__(self, *a, **o):\n        super().__init__(*a, **o)\n", made)
    made["Typed"].__init__.__module__ = made["Typed"].__module__ = __name__
    with pytest.raises(RecipeError, match=r"Typed.__init__ takes \*\*o, and its source, .* cannot be read"):
        fields_of(made["Typed"], 2)
