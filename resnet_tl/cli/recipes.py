"""`resnet-tl recipes`: list, show and copy what comes with the project; a schema for editors."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from resnet_tl.cli.command import Command, Options
from resnet_tl.errors import RecipeError, did_you_mean
from resnet_tl.files import write_new_text
from resnet_tl.recipe import shipped

HELP = """usage: resnet-tl recipes list
       resnet-tl recipes show NAME
       resnet-tl recipes copy NAME [DEST]      to edit it; DEST is a file or folder, never overwritten
       resnet-tl recipes schema [FILE]         a JSON Schema of recipes, with which editors complete and check them

A copy begins with a line that names resnet_tl.schema.json next to it, for editors with the YAML language server. The
schema is written there unless there is one."""

ACTIONS = ("list", "show", "copy", "schema")
SCHEMA = "resnet_tl.schema.json"


def run(verb: str, command: Command) -> int:
    parser = Options(verb)
    parser.add_argument("words", nargs="*")
    options = parser.read(command, recipe=False)
    words = options.words
    if options.help or not words:
        print(HELP)
        return 0
    action, *names = words
    if action not in ACTIONS:
        raise RecipeError(f"recipes has no {action!r}: expected {', '.join(ACTIONS)}{did_you_mean(action, ACTIONS)}")
    least, most, expected = {
        "list": (0, 0, "nothing more"),
        "show": (1, 1, "NAME"),
        "copy": (1, 2, "NAME and perhaps DEST"),
        "schema": (0, 1, "FILE or nothing"),
    }[action]
    if not least <= len(names) <= most:
        raise RecipeError(f"recipes {action}: expected {expected}")
    if action == "list":
        _list()
    elif action == "show":
        print(shipped.find(names[0]).read_text(encoding="utf-8"), end="")
    elif action == "copy":
        _copy(*names)
    elif names:
        write_new_text(Path(names[0]), _schema())
    else:
        print(_schema(), end="")
    return 0


def _list() -> None:
    recipes = shipped.shipped()
    width = max(map(len, recipes))
    for name, path in recipes.items():
        print(f"{name:<{width}}  {shipped.describe(path)}")


def _copy(name: str, destination: str = ".") -> None:
    source = shipped.find(name)
    target = Path(destination)
    if target.is_dir():
        target = target / source.name
    write_new_text(target, f"# yaml-language-server: $schema={SCHEMA}\n{source.read_text(encoding='utf-8')}")
    if not (target.parent / SCHEMA).exists():
        write_new_text(target.parent / SCHEMA, _schema())
    print(f"{target}   ({_command(source, name, target)})")


def _command(source: Path, name: str, target: Path) -> str:
    """Returns the command in a recipe's header with the copy in the recipe's place: it names the data, too."""
    original, copy = f"-c {name.removesuffix('.yaml')}", f"-c {shlex.quote(str(target))}"
    lines = source.read_text(encoding="utf-8").splitlines()
    usage = (line.strip("# \\") for line in lines if line.startswith("#") and original in line)
    return next(usage, f"resnet-tl fit {original}").replace(original, copy)


def _schema() -> str:
    from resnet_tl.recipe.json_schema import json_schema
    from resnet_tl.run.sections import sections

    return json.dumps(json_schema(sections()), indent=1, ensure_ascii=False) + "\n"
