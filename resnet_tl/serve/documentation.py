"""The API as a page: what /openapi.json says, without the scripts of other hosts that FastAPI's own page loads."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse


async def documentation(request: Request) -> HTMLResponse:
    schema = request.app.openapi()
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width"><link rel="icon" href="/icon.svg">'
        f'<link rel="stylesheet" href="/style.css"><title>{escape(schema["info"]["title"])}: API</title>'
    )
    body = "".join(_sections(schema))
    return HTMLResponse(f'<!doctype html><html lang="en"><head>{head}</head><body><main>{body}</main></body></html>')


def _sections(schema: dict[str, Any]) -> Iterator[str]:
    title = escape(schema["info"]["title"])
    yield f'<p class="eyebrow">API</p><h1>{title}</h1><p class="lead"><a href="/openapi.json">openapi.json</a></p>'
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            yield f"<section><h2><code>{method.upper()} {escape(path)}</code></h2>"
            yield f"<p>{escape(operation['summary'])}.</p><p>{escape(operation.get('description', ''))}</p>"
            yield _list("Body", [escape(kind) for kind in operation.get("requestBody", {}).get("content", {})])
            yield _list("Query", [_parameter(each) for each in operation.get("parameters", [])])
            yield "</section>"


def _parameter(parameter: dict[str, Any]) -> str:
    return f"<code>{escape(parameter['name'])}</code>: {escape(parameter.get('description', ''))}"


def _list(title: str, items: list[str]) -> str:
    rows = "".join(f"<li>{item}</li>" for item in items)
    return f"<p>{title}:</p><ul>{rows}</ul>" if items else ""
