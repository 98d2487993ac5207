"""What every request passes: who may ask, counting, and headers that keep pages of other sites out."""

from __future__ import annotations

import time
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from resnet_tl.serve.counters import Counters
from resnet_tl.serve.refused import Refused
from resnet_tl.serve.settings import Settings

SECURITY = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob: data:; media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Headers of every answer. There are none of CORS, so a page of another site cannot read an answer."""
ALWAYS = ("/metrics",)
"""Paths that are answered during the shutdown, too."""


@dataclass
class Traffic:
    """active: requests that are being answered. closing: whether new ones are refused, since the server shuts down."""

    active: int = 0
    closing: bool = False


class Gate:
    """Middleware around the whole app."""

    def __init__(
        self, app: ASGIApp, settings: Settings, traffic: Traffic, counters: Counters, paths: frozenset[str]
    ) -> None:
        self.app, self.settings, self.traffic, self.counters, self.paths = app, settings, traffic, counters, paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, path = time.perf_counter(), scope["path"] if scope["path"] in self.paths else "other"

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(SECURITY)
                self.counters.requests[path, message["status"]] += 1
            await send(message)

        self.traffic.active += 1
        try:
            self._check(Headers(scope=scope), scope["path"])
            await self.app(scope, receive, answer)
        except Refused as refused:
            await refusal(refused)(scope, receive, answer)
        except Exception:  # answered outside of this middleware
            self.counters.requests[path, 500] += 1
            raise
        finally:
            self.traffic.active -= 1
            if scope["method"] == "POST":
                self.counters.seconds.observe(time.perf_counter() - start)

    def _check(self, headers: Headers, path: str) -> None:
        """Raises Refused for requests by a page of another site, and during the shutdown."""
        host, origin = headers.get("host", ""), headers.get("origin")
        if self.settings.hosts is not None and _name(host) not in self.settings.hosts:
            raise Refused(403, f"this server is not {host[:80]!r}; expected {' or '.join(sorted(self.settings.hosts))}")
        if origin is not None and origin.partition("://")[2] != host:
            raise Refused(403, f"pages of {origin[:80]!r} may not use this server")
        if self.traffic.closing and path not in ALWAYS:
            raise Refused(503, "the server is shutting down")


def refusal(refused: Refused) -> JSONResponse:
    """Returns the answer to a refused request."""
    return JSONResponse({"error": refused.sentence}, refused.status, refused.headers)


def _name(host: str) -> str:
    """Returns a Host header without its port; of an IPv6 address without its brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()
