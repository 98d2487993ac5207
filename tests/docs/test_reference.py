"""The generated reference is whole: every argument of every class that a recipe can name, every verb, every recipe."""

from __future__ import annotations

import dataclasses
import inspect
import re

import pytest
import reference
from doc_blocks import ROOT, pages

from resnet_tl.cli.main import VERBS
from resnet_tl.recipe.schema import Section, factory_of, fields_of, item_of, kinds_of, mapping_of
from resnet_tl.recipe.shipped import shipped
from resnet_tl.run.sections import sections


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    return reference.pages()


@pytest.fixture(scope="module")
def keys(made: dict[str, str]) -> dict[str, set[str]]:
    """The keys below each heading of all pages; of a data class those of the classes that its section links to, too."""
    own: dict[str, set[str]] = {}
    above: dict[str, list[str]] = {}
    for page in made.values():
        for section in re.split(r"^## ", page, flags=re.MULTILINE)[1:]:
            title, _, text = section.partition("\n")
            own[title] = set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))
            above[title] = re.findall(r"Also the keys of \[(\w+)\]", text)

    def whole(title: str) -> set[str]:
        return own[title].union(*map(whole, above[title]))

    return {title: whole(title) for title in own}


def classes() -> dict[str, set[str]]:
    """By the schema itself: each class of ours that a recipe can name or fill, and its arguments."""
    found: dict[str, set[str]] = {}

    def visit(hint: object) -> None:
        hint = item_of(hint) or hint
        mapping, factory = mapping_of(hint), factory_of(hint)
        if isinstance(mapping, Section):
            return
        targets = [(mapping, 0)] if mapping is not None else []
        targets += [(kind, factory.given) for kind in kinds_of(factory.base)] if factory is not None else []
        for kind, given in targets:
            if kind.__module__.startswith("resnet_tl.") and kind.__name__ not in found and _from_a_recipe(kind, given):
                fields = fields_of(kind, given)
                found[kind.__name__] = set(fields)
                for field in fields.values():
                    visit(field.hint)

    for name, field in sections().fields.items():
        if name != "trainer":
            visit(field.hint)
    return found


def _from_a_recipe(kind: type, given: int) -> bool:
    """Not what needs an object of Python: the bases of data modules are given a listing, a bare head its decoder, the
    terms of a teacher its settings."""
    if dataclasses.is_dataclass(kind):
        return True
    needed = [p for p in list(inspect.signature(kind).parameters.values())[given:] if p.default is p.empty]
    return not any(p.name in ("images", "decoder", "teacher") for p in needed)


def test_every_argument_of_every_class_is_listed(keys: dict[str, set[str]]) -> None:
    expected = classes()
    assert len(expected) >= 38
    assert sum(map(len, expected.values())) >= 350
    missing = {name: arguments - keys.get(name, set()) for name, arguments in expected.items()}
    assert {name: lost for name, lost in missing.items() if lost} == {}


def test_every_argument_of_the_trainer_is_listed(keys: dict[str, set[str]]) -> None:
    assert keys["Trainer"] == set(sections().fields["trainer"].hint.fields)


def test_nothing_is_listed_that_does_not_exist(keys: dict[str, set[str]]) -> None:
    expected = classes()
    surplus = {name: keys[name] - arguments for name, arguments in expected.items()}
    assert {name: more for name, more in surplus.items() if more} == {}


def test_every_key_has_its_type_default_and_meaning(made: dict[str, str]) -> None:
    rows = [line for page in ("keys", "data", "heads") for line in made[f"reference/{page}.md"].splitlines()]
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in rows if re.match(r"\| `\w+` \| .* \| .* \|", line)]
    assert len(rows) > 200
    assert [row[0] for row in rows if len(row) == 4 and not all(cell.strip() for cell in row)] == []


def test_every_verb_has_its_section_with_its_help(made: dict[str, str]) -> None:
    page = made["reference/verbs.md"]
    for verb in VERBS:
        assert f"\n## {verb}\n" in page
        assert f"resnet-tl {verb}" in page.partition(f"\n## {verb}\n")[2].partition("\n## ")[0]


def test_every_shipped_recipe_is_named(made: dict[str, str]) -> None:
    listed = re.findall(r"^\| `([\w/]+)` \| \S.* \| \S.* \|$", made["reference/recipes.md"], re.MULTILINE)
    assert sorted(listed) == sorted(shipped())


DOTTED = re.compile(r"(?<![\w./])(?:--)?((?:model|data|trainer|tracking|tuning)(?:\.\w+)+)")
NOT_KEYS = {
    "model.safetensors", "model.xml", "model.bin", "data.yaml", "model.train", "model.parameters",
    "trainer.kubeflow.org",
}  # fmt: skip
"""Files, methods, and a name of Kubernetes."""
MISTAKES = {"model.optimizer.learning_rate", "model.backbone.nme"}
"""That pages show on purpose."""


def test_the_keys_that_pages_name_exist() -> None:
    """`--data.group`, `tuning.views`, `model.backbone.weights` in any page, the README and the changelog."""
    slots = keys_by_slot()
    unknown = []
    for page in [*pages(), ROOT / "CHANGELOG.md", ROOT / "data" / "README.md"]:
        text = re.sub(r"\.phases\.\d+\.", ".phase.", page.read_text(encoding="utf-8"))  # an item of a list
        for dotted in DOTTED.findall(text.replace(".init_args", "")):
            *above, key = dotted.removeprefix("model.").split(".")
            known = slots.get(above[-1] if above else "model", set())
            if key not in known and dotted not in NOT_KEYS | MISTAKES:
                unknown.append(f"{page.name}: {dotted}")
    assert unknown == []


def keys_by_slot() -> dict[str, set[str]]:
    """What may follow `model.`, `data.`, `backbone.`, `head.`, ... in a dotted name."""
    slots = {slot: {"class_path"} for slot in ("model", "data", "head", "neck")}
    kinds = {"Task": "model", "ImageData": "data", "Head": "head", "Neck": "neck"}
    for entry in reference.entries():
        slot = kinds.get(entry.kind, entry.name.lower())
        slots.setdefault(slot, set()).update(argument.name for argument in entry.arguments)
    return slots
