"""`resnet-tl recipes`: list, show and copy what comes with the project."""

from __future__ import annotations

from pathlib import Path

from resnet_tl.cli.command import Command, Options
from resnet_tl.errors import RecipeError, RunError, did_you_mean
from resnet_tl.recipe import shipped

HELP = """usage: resnet-tl recipes list
       resnet-tl recipes show NAME
       resnet-tl recipes copy NAME [DEST]      to edit it; DEST is a file or folder, never overwritten"""

ACTIONS = ("list", "show", "copy")


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
    least, most = {"list": (0, 0), "show": (1, 1), "copy": (1, 2)}[action]
    if not least <= len(names) <= most:
        raise RecipeError(f"recipes {action}: expected {('nothing more', 'NAME', 'NAME and perhaps DEST')[most]}")
    if action == "list":
        _list()
    elif action == "show":
        print(shipped.find(names[0]).read_text(encoding="utf-8"), end="")
    else:
        _copy(*names)
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
    try:
        with open(target, "x", encoding="utf-8") as file:
            file.write(source.read_text(encoding="utf-8"))
    except FileExistsError:
        raise RunError(f"{target}: exists already, and nothing is overwritten") from None
    except FileNotFoundError:
        raise RunError(f"{target}: there is no folder {str(target.parent)!r}") from None
    print(f"{target}   (resnet-tl fit -c {target})")
