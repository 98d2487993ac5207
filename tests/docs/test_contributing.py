"""The map of the house in CONTRIBUTING.md is the one that import-linter checks, and names every room."""

from __future__ import annotations

import re
import sys

import pytest
from doc_blocks import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]


def _layers(package: str) -> list[set[str]]:
    """The layers of the contract about a package's direct children, top to bottom."""
    for contract in CONTRACTS:
        layers = [{name.strip() for name in layer.split("|")} for layer in contract.get("layers", [])]
        if layers and all(name.rpartition(".")[0] == package for layer in layers for name in layer):
            return [{name.rpartition(".")[2] for name in layer} for layer in layers]
    raise AssertionError(f"no contract of {package}")


def _drawn(after: str) -> list[set[str]]:
    """The layers of the first drawing after a heading: names at the start of a line, `·` between them."""
    drawing = re.search(r"```text\n(.*?)```", TEXT[TEXT.index(after) :], re.DOTALL)
    assert drawing is not None
    lines = [line for line in drawing[1].splitlines() if not line.startswith(" ")]
    return [set(re.split(r"\s{2,}", line)[0].split(" · ")) for line in lines]


@pytest.mark.parametrize(
    ("package", "heading"), [("resnet_tl", "## The map of the house"), ("resnet_tl.data", "Within `data/`")]
)
def test_a_drawing_is_what_import_linter_checks(package: str, heading: str) -> None:
    assert _drawn(heading) == _layers(package)


def test_every_room_and_file_at_the_top_is_named() -> None:
    rooms = {path.name for path in (ROOT / "resnet_tl").iterdir() if (path / "__init__.py").is_file()}
    files = {path.stem for path in (ROOT / "resnet_tl").glob("*.py")} - {"__init__"}
    assert rooms | files == set().union(*_drawn("## The map of the house"))


def test_the_files_it_names_exist() -> None:
    named = re.findall(r"`((?:models|data|recipe|cli|tests|resnet_tl)/[\w/]+(?:\.py)?/?)`", TEXT)
    assert len(named) >= 10
    missing = [name for name in named if not ((ROOT / name).exists() or (ROOT / "resnet_tl" / name).exists())]
    assert missing == []
