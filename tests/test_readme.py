"""The README holds: its Python runs, its commands, recipes and links exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from resnet_tl.recipe.shipped import shipped

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def fenced(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_the_python_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").symlink_to(ROOT / "data")
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {}
    blocks = fenced("python")
    assert len(blocks) >= 5
    for number, block in enumerate(blocks):
        exec(compile(block, f"README.md, Python block {number + 1}", "exec"), namespace)


def test_the_recipes_it_names_are_shipped() -> None:
    commands = re.findall(r"-c ([\w/]+)", README)
    table = re.findall(r"^\| `((?:classify/)?\w+)` \|", README, re.MULTILINE)
    overlays = [f"overlays/{name}" for name in re.search(r"overlays/\{([\w,]+)\}", README)[1].split(",")]  # type: ignore[index]
    assert len(commands) >= 3
    assert len(table) >= 5
    assert set(commands + table + overlays) <= set(shipped())


def test_the_make_targets_it_names_exist() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"^make ([\w-]+)", "\n".join(fenced("bash")), re.MULTILINE))
    assert named == {"quickstart", "test"}
    assert named <= targets


def test_its_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
