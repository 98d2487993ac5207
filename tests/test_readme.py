"""The README holds: its recipes, make targets and links exist; `tests/docs/test_blocks.py` runs its code."""

from __future__ import annotations

import re
from pathlib import Path

from resnet_tl.recipe.shipped import shipped

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def fenced(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_it_shows_python_commands_and_a_plan() -> None:
    assert len(fenced("python")) >= 2
    assert len(fenced("bash")) >= 2
    assert len(fenced("yaml")) >= 1


def test_the_first_result_is_on_the_first_screen() -> None:
    assert README[: README.index("make quickstart")].count("\n") <= 20


def test_the_recipes_it_names_are_shipped() -> None:
    commands = re.findall(r"-c ([\w/]+)", README)
    named = re.findall(r"`((?:classify|detect|instance|segment|overlays)/\w+)`", README)
    assert len(commands) >= 2
    assert len(named) >= 5
    assert set(commands + named) <= set(shipped())


def test_the_make_targets_it_names_exist() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"^make ([\w-]+)", "\n".join(fenced("bash")), re.MULTILINE))
    assert named == {"quickstart", "test"}
    assert named <= targets


def test_its_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#:]+)", README)
    assert len(links) >= 20
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_its_benchmarks_are_few_and_one_figure_a_cell() -> None:
    table = README[README.index("## Measured") : README.index("Setting, machine")]
    rows = [line for line in table.splitlines() if line.startswith("| ")][2:]
    assert len(rows) == 5
    cells = [cell for row in rows for cell in row.strip("| ").split(" | ")[1:]]
    assert all(len(re.findall(r"\d[\d.]*(?: of \d+| ± [\d.]+)?", cell.partition("(")[0])) == 1 for cell in cells)
