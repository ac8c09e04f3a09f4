"""Serve connections on gunicorn's event loop, with limits on time and size of what arrives before a request.

A connection costs no thread. It is closed when the head of its request is not complete in time, and when its client
does not take the rest of a response. Errors before a request reaches the application have the form of the API's.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from typing import Any

from gunicorn.asgi.protocol import ASGIProtocol
from gunicorn.workers.gasgi import ASGIWorker
from werkzeug.http import HTTP_STATUS_CODES

from analytics_kit.web.error_responses import http_error_body

HEAD_LIMIT_S = 15
"""Time for the head of a request to arrive; a connection without a request is kept this long, too."""
HEAD_LIMIT_BYTES = 1 << 17
LINE_LIMIT_BYTES = 8190
"""Length of the request line, which gunicorn can't set higher."""
FIELD_LIMIT_BYTES = 1 << 16
"""Length of a header. Behind JupyterHub the cookies of all applications of a host are one header."""
DISCARD_LIMIT_S = 5.0
"""Time for which the rest of a refused body is received and discarded, so that the client reads the answer."""
CLOSE_LIMIT_S = 30.0
"""Time for a client to take what was sent before its connection was closed."""
SWITCH_INTERVAL_S = 0.001
"""Time after which a thread that computes lets the event loop run; Python's own 5 ms add up over its system calls."""
_REASONS = {
    408: "The request did not arrive in time.",
    414: f"The request line has more than {LINE_LIMIT_BYTES:,} bytes.",
    431: f"The headers have more than {HEAD_LIMIT_BYTES:,} bytes, one has more than {FIELD_LIMIT_BYTES:,}, or there "
    "are too many.",
}


class ClientConnection(ASGIProtocol):  # type: ignore[misc]  # it has no types
    """One connection of a client."""

    def __init__(self, worker: ConnectionWorker) -> None:
        super().__init__(worker)
        self._head_bytes = 0
        self._discards = False

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.worker.connections.add(self)
        self._arm_keepalive_timer()  # gunicorn arms it for later requests only

    def data_received(self, data: bytes) -> None:
        if self._discards:
            return
        if self._current_request is None:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._current_request is not None:
            self._head_bytes = 0
        elif self._head_bytes > HEAD_LIMIT_BYTES and not self._closed:
            self._refuse(431)

    def connection_lost(self, exc: Exception | None) -> None:
        self.worker.connections.discard(self)
        super().connection_lost(exc)

    def close_if_idle(self) -> None:
        """Close the connection unless a request is being answered."""
        if self._current_request is None:
            self._close_transport()
            self._request_ready.set()

    def _keepalive_timeout(self) -> None:
        if self._current_request is not None:  # it has arrived just now
            return
        if self._head_bytes and not self._closed:
            self._send_error_response(408, "")
        super()._keepalive_timeout()

    def _refuse(self, code: int) -> None:
        self._send_error_response(code, "")
        self._close_transport()

    def _send_error_response(self, status: int, message: str, extra_headers: Sequence[tuple[str, str]] = ()) -> None:
        body, headers = http_error_body(status, _REASONS.get(status, ""))
        lines = [f"HTTP/1.1 {status} {HTTP_STATUS_CODES[status]}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in [*headers.items(), *extra_headers]]
        self._safe_write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    def _close_transport(self) -> None:
        """Close the connection. What the client still sends is discarded first, or it would lose the answer."""
        if self._closed or self.transport is None:  # type: ignore[has-type]
            return
        loop = self.worker.loop
        receiver = self._body_receiver
        is_unread = receiver is not None and not receiver._complete
        if (is_unread or self._head_bytes > 0) and not self.transport.is_closing():
            self._closed = self._discards = True
            try:
                self.transport.write_eof()
            except OSError:  # the client has reset the connection, which nobody reads now
                self.transport.abort()
                return
            self._resume_reading()
            loop.call_later(DISCARD_LIMIT_S, self.transport.close)
        else:
            super()._close_transport()
        loop.call_later(DISCARD_LIMIT_S + CLOSE_LIMIT_S, self.transport.abort)


class ConnectionWorker(ASGIWorker):  # type: ignore[misc]  # it has no types
    """The serving process. It calls its application's `on_stop` when it has received the signal to stop."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.connections: set[ClientConnection] = set()
        self._stopping = asyncio.Event()

    def init_process(self) -> None:
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        super().init_process()

    def handle_exit_signal(self) -> None:
        super().handle_exit_signal()
        self._stop()

    def handle_quit_signal(self) -> None:
        super().handle_quit_signal()
        self._stop()

    def _stop(self) -> None:
        self._stopping.set()
        self.app.on_stop()

    async def _serve(self) -> None:
        backlog = self.cfg.backlog
        for socket in self.sockets:
            server = await self.loop.create_server(lambda: ClientConnection(self), sock=socket.sock, backlog=backlog)
            self.servers.append(server)
        while self.alive and self.ppid == os.getppid():
            self.notify()
            try:
                async with asyncio.timeout(1.0):
                    await self._stopping.wait()
            except TimeoutError:
                pass
        for connection in list(self.connections):
            connection.close_if_idle()
        await self._shutdown()
