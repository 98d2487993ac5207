"""The pages hold together: links, names of recipes and keys, and nothing from other hosts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from doc_blocks import DOCS, ROOT, pages

from resnet_tl.recipe.shipped import shipped

LINK = re.compile(r"(!?)\[[^\]]*\]\(([^)\s]+)\)")
NAMES = [page.relative_to(ROOT).as_posix() for page in pages()]


def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    words = [re.sub(r"[^\w\s-]", "", heading).strip().lower() for heading in headings]
    return {re.sub(r"[\s-]+", "-", heading) for heading in words}


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere_in_a_file_viewer(name: str) -> None:
    page = ROOT / name
    for _, link in LINK.findall(_text(name)):
        target, _, anchor = link.partition("#")
        path = page if not target else page.parent / target
        assert path.exists(), f"{name}: {link}"
        assert not anchor or anchor in _anchors(path), f"{name}: {link}"


@pytest.mark.parametrize("name", NAMES)
def test_the_recipes_that_a_page_names_are_shipped(name: str) -> None:
    named = re.findall(r"(?<![\w/])((?:classify|detect|instance|regress|segment|overlays)/[a-z]\w+)", _text(name))
    own = {"detect/", "segment/"}
    assert {recipe for recipe in named if not recipe.startswith(tuple(own)) or "_" in recipe} <= set(shipped())


@pytest.mark.parametrize("name", NAMES)
def test_a_page_has_one_title_and_lines_that_fit(name: str) -> None:
    text = re.sub(r"^```.*?^```$", "", _text(name), flags=re.MULTILINE | re.DOTALL)
    assert len(re.findall(r"^# ", text, re.MULTILINE)) == 1
    long = [line for line in text.splitlines() if len(line) > 130 and not line.startswith("|") and "](" not in line]
    assert long == []


def test_every_page_is_in_the_navigation_and_every_entry_is_a_page() -> None:
    import reference
    from pages import OUTSIDE

    site = yaml.safe_load(re.sub(r"!!python\S*", "", (ROOT / "mkdocs.yml").read_text()))
    listed = set(_leaves(site["nav"]))
    written = {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")}
    made = set(reference.pages()) | {place for place in OUTSIDE.values() if place.endswith(".md")}
    assert listed == written | made


def test_the_site_loads_nothing_from_other_hosts() -> None:
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    assert site["theme"]["font"] is False
    assert not {"extra_javascript", "repo_url"} & site.keys()
    assert not [name for name in NAMES if re.search(r"<(script|link|img|iframe)\b|!\[[^\]]*\]\(http", _text(name))]


def _leaves(nav: object) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    children = nav.values() if isinstance(nav, dict) else nav
    return [leaf for child in children for leaf in _leaves(child)]  # type: ignore[attr-defined]
