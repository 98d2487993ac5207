"""MkDocs hook: adds the pages that are made from the code, and files of the repository that pages link to."""

from __future__ import annotations

import posixpath
import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import reference

ROOT = Path(__file__).resolve().parents[2]

OUTSIDE = {
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "data/README.md": "layouts.md",
    "data/samples/overview.png": "assets/overview.png",
    "data/figures/segmentation.jpg": "assets/segmentation.jpg",
    "data/figures/blood_cells.jpg": "assets/blood_cells.jpg",
}
"""Files of the repository that are part of the site, and their places there."""

CODE = re.compile(r"<code>.*?</code>", re.DOTALL)
OPTION = re.compile(r"(?<![\w-])--[a-z][\w.-]*")
LINK = re.compile(r"(\]\()([^)#:\s]+)")


def on_files(files: Any, config: Any) -> Any:
    from mkdocs.structure.files import File

    for source, place in OUTSIDE.items():
        if source.endswith(".md"):
            text = (ROOT / source).read_text(encoding="utf-8")
            files.append(File.generated(config, place, content=rewritten(text, source, place)))
        else:
            files.append(File.generated(config, place, abs_src_path=str(ROOT / source)))
    for place, text in reference.pages().items():
        files.append(File.generated(config, place, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    place = page.file.src_uri
    if place == "reference/index.md":
        markdown += "\n" + reference.contents()
    return rewritten(markdown, f"docs/{place}", place) if (ROOT / "docs" / place).exists() else markdown


def on_page_content(html: str, page: Any, config: Any, files: Any) -> str:
    """Keeps a browser from breaking a line within `--data.root`, after the first hyphen."""

    def unbroken(code: re.Match[str]) -> str:
        return OPTION.sub(r'<span class="option">\g<0></span>', code[0])

    return CODE.sub(unbroken, html)


def rewritten(markdown: str, source: str, place: str) -> str:
    """Links that lead from `source` to another place in the repository, as they lead from `place` in the site."""

    def link(match: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), match[2]))
        inside = OUTSIDE.get(path, path.removeprefix("docs/") if path.startswith("docs/") else None)
        if inside is None:
            return match[0]
        return match[1] + posixpath.relpath(inside, posixpath.dirname(place) or ".")

    return LINK.sub(link, markdown)
