"""A Hugging Face hub on this machine: it answers what huggingface_hub asks to create, push to and load from models."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import unquote

COMMIT = "0123456789abcdef0123456789abcdef01234567"

LICENCES = ("apache-2.0", "unknown")


class Hub(ThreadingHTTPServer):
    """files: of all models, by `USER/NAME/FILE`. visibility: of each model. token: what writing needs."""

    token = "hf_mine"

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.large: dict[str, bytes] = {}
        self.visibility: dict[str, str] = {}

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def names(self, model: str) -> list[str]:
        return sorted(name.removeprefix(f"{model}/") for name in self.files if name.startswith(f"{model}/"))


@contextmanager
def hub() -> Iterator[Hub]:
    with Hub() as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


class _Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body, path = self._body(), self.path.partition("?")[0]
        if path == "/api/validate-yaml":
            known = any(f"license: {licence}\n" in json.loads(body)["content"] for licence in LICENCES)
            errors = [] if known else [{"message": '"license" must be one of apache-2.0, ...'}]
            self._answer({"errors": errors, "warnings": []}, 400 if errors else 200)
        elif self.headers.get("Authorization") != f"Bearer {self.server.token}":
            self._answer({"error": "Invalid credentials in Authorization header"}, 401)
        elif path == "/api/repos/create":
            self._create(json.loads(body))
        elif path.endswith("/preupload/main"):
            self._answer({"files": [_upload_mode(file) for file in json.loads(body)["files"]]})
        elif path.endswith(".git/info/lfs/objects/batch"):
            objects = [self._upload_of(each) for each in json.loads(body)["objects"]]
            self._answer({"transfer": "basic", "objects": objects})
        elif path.endswith("/commit/main"):
            self._commit(_model(path), [json.loads(line) for line in body.splitlines()])
        else:
            self._answer({"error": f"not known here: POST {path}"}, 404)

    def do_PUT(self) -> None:
        content = self._body()
        self.server.large[hashlib.sha256(content).hexdigest()] = content
        self._answer({})

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if "/resolve/" in path:
            self._file(path)
        elif _model(path) not in self.server.visibility:
            self._answer({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})
        elif "/tree/" in path:
            model = _model(path)
            self._answer([_entry(name, self.server.files[f"{model}/{name}"]) for name in self.server.names(model)])
        else:
            siblings = [{"rfilename": name} for name in self.server.names(_model(path))]
            self._answer({"id": _model(path), "sha": COMMIT, "private": True, "tags": [], "siblings": siblings})

    do_HEAD = do_GET

    def _create(self, asked: dict[str, Any]) -> None:
        model = f"{asked['organization']}/{asked['name']}"
        known = model in self.server.visibility
        self.server.visibility.setdefault(model, asked.get("visibility", "public"))
        self._answer({"url": f"{self.server.address}/{model}"}, 409 if known else 200)

    def _upload_of(self, asked: dict[str, Any]) -> dict[str, Any]:
        upload = {"href": f"{self.server.address}/large/{asked['oid']}"}
        return {"oid": asked["oid"], "size": asked["size"], "actions": {"upload": upload}}

    def _commit(self, model: str, lines: list[dict[str, Any]]) -> None:
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                self.server.files[f"{model}/{value['path']}"] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                self.server.files[f"{model}/{value['path']}"] = self.server.large[value["oid"]]
        address = f"{self.server.address}/{model}/commit/{COMMIT}"
        self._answer({"success": True, "commitOid": COMMIT, "commitUrl": address, "hookOutput": ""})

    def _file(self, path: str) -> None:
        model, _, rest = path[1:].partition("/resolve/")
        content = self.server.files.get(f"{model}/{unquote(rest.partition('/')[2])}")
        if model not in self.server.visibility:
            self._answer({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})
        elif content is None:
            self._answer({}, 404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
        else:
            self._send(content, 200, {"X-Repo-Commit": COMMIT, "ETag": f'"{hashlib.sha256(content).hexdigest()}"'})

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _answer(self, content: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._send(json.dumps(content).encode(), status, {"Content-Type": "application/json", **(headers or {})})

    def _send(self, content: bytes, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Nothing is printed."""


def _model(path: str) -> str:
    """`/api/models/USER/NAME/...` -> `USER/NAME`."""
    return "/".join(path.split("/")[3:5])


def _upload_mode(file: dict[str, Any]) -> dict[str, Any]:
    large = file["path"].endswith((".safetensors", ".jpg"))
    return {"path": file["path"], "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}


def _entry(name: str, content: bytes) -> dict[str, Any]:
    return {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
