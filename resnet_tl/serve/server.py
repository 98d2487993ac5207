"""Runs the application: bounded in time whatever clients do, and shut down without losing what was accepted."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from resnet_tl.serve.service import Service

CONNECTIONS = 512
"""At most at a time, idle ones included."""
LAST_S = 2
"""Seconds that clients have at the end of a shutdown to take their answers."""
HEADERS_S = 10
"""Seconds within which a connection has to send the headers of its next request."""


def run(app: FastAPI, listening: socket.socket, on_start: Callable[[], None]) -> None:
    """Serves until SIGTERM, after which this returns, or Ctrl-C.

    Then requests that were accepted are answered, for at most the server's timeout, and new ones are refused with 503.
    A second signal ends it at once.

    Raises:
        KeyboardInterrupt: Ctrl-C stopped it, gracefully.
    """
    for name in ("uvicorn.error", "python_multipart"):  # their warnings are about clients' mistakes, which get answers
        logging.getLogger(name).setLevel(logging.ERROR)
    config = uvicorn.Config(
        app,
        http=_Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=CONNECTIONS,
        backlog=CONNECTIONS,
        timeout_graceful_shutdown=LAST_S,
    )
    server = _Server(config, app.state.service, on_start)
    try:
        server.run([listening])
    finally:
        app.state.service.close()
    if server.stopped_by == signal.SIGINT:
        raise KeyboardInterrupt


class _Server(uvicorn.Server):
    """uvicorn's server, which keeps listening until accepted requests are answered."""

    def __init__(self, config: uvicorn.Config, service: Service, on_start: Callable[[], None]) -> None:
        super().__init__(config)
        self.service, self.on_start = service, on_start
        self.stopped_by: int | None = None
        self.until = float("inf")

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.on_start()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.stopped_by is not None:
            self.should_exit = self.force_exit = True
            return
        self.stopped_by, self.until = sig, time.monotonic() + self.service.settings.timeout_s
        self.service.traffic.closing = True

    async def on_tick(self, counter: int) -> bool:
        """Returns whether to stop listening; called ten times a second."""
        done = self.stopped_by is not None and self.service.traffic.active == 0
        return await super().on_tick(counter) or done or time.monotonic() > self.until


class _Connection(H11Protocol):
    """uvicorn's connection, closed where the client does not send the headers of a request, or does not take its
    answer. (Slow bodies end by the application's timeout.)"""

    _headers_due: asyncio.TimerHandle | None = None
    _answer_taken: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._expect_headers()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            _cancel(self._headers_due)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete:  # otherwise the next request was there already
            self._expect_headers()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._answer_taken = self.loop.call_later(HEADERS_S, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        _cancel(self._answer_taken)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        _cancel(self._headers_due)
        _cancel(self._answer_taken)

    def _expect_headers(self) -> None:
        _cancel(self._headers_due)
        self._headers_due = self.loop.call_later(HEADERS_S, self.transport.abort)


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
