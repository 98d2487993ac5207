"""The page's files fit together, and use nothing of another host."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import resnet_tl

PAGE = Path(resnet_tl.__file__).parent / "serve" / "page"
FILES = sorted(PAGE.iterdir())
SCRIPTS = {path.name: path.read_text(encoding="utf-8") for path in FILES if path.suffix == ".js"}
KINDS = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
NAMESPACE = "http://www.w3.org/2000/svg"


class _Document(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


TAGS = _Document((PAGE / "index.html").read_text(encoding="utf-8")).tags
IDS = [attributes["id"] for _, attributes in TAGS if "id" in attributes]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_file_names_another_host(path: Path) -> None:
    assert not re.search(r"https?:|//[a-z]+\.", path.read_text(encoding="utf-8").replace(NAMESPACE, ""))


def test_every_file_is_served_under_a_strict_policy(client: Callable[..., Any]) -> None:
    with client() as http:
        answers = {path: http.get(f"/{path.name}".replace("index.html", "")) for path in FILES}
    for path, answer in answers.items():
        assert answer.content == path.read_bytes()
        assert answer.headers["content-type"].startswith(KINDS[path.suffix])
        assert answer.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self';")


def test_ids_are_unique_and_those_that_scripts_use_exist() -> None:
    assert len(IDS) == len(set(IDS))
    used = set[str]()
    for text in SCRIPTS.values():
        used |= set(re.findall(r'byId\("([\w-]+)"\)', text))
        for names in re.findall(r"\[([^\[\]]+)\]\.map\(byId\)", text):
            used |= set(re.findall(r'"([\w-]+)"', names))
    assert len(used) > 20
    assert used <= set(IDS)


def test_what_the_document_refers_to_by_id_exists() -> None:
    for name in ("for", "aria-labelledby"):
        assert {attributes[name] for _, attributes in TAGS if name in attributes} <= set(IDS)


def test_scripts_import_what_there_is() -> None:
    for text in SCRIPTS.values():
        for names, source in re.findall(r'^import (?:\{(.+)\} from )?"\./([\w.]+)";', text, re.MULTILINE):
            for name in filter(None, names.replace(" ", "").split(",")):
                assert re.search(
                    rf"^export (?:async )?(?:function|const|class) {name}\b", SCRIPTS[source], re.MULTILINE
                )


def test_a_strict_content_security_policy_holds() -> None:
    for tag, attributes in TAGS:
        assert tag != "style"
        assert "style" not in attributes
        assert not [name for name in attributes if name.startswith("on")]
        assert tag != "script" or attributes.get("src")
    assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|\beval\(", "".join(SCRIPTS.values()))


def test_controls_have_names() -> None:
    text = (PAGE / "index.html").read_text(encoding="utf-8")
    for button in re.findall(r"<button[^>]*>(.*?)</button>", text):
        assert button.strip()
    labelled = {attributes["for"] for tag, attributes in TAGS if tag == "label"}
    assert {attributes["id"] for tag, attributes in TAGS if tag == "select"} <= labelled
    assert all("alt" in attributes for tag, attributes in TAGS if tag == "img")
