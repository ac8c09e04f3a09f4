"""An HTTP server of files on loopback that counts what is read, and fails as a test wants."""

from __future__ import annotations

import re
import socket
import struct
import threading
import zlib
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


class Request(NamedTuple):
    """A request that the server got: its method and path, and the bytes [start, end) that it asks for."""

    method: str
    path: str
    start: int
    end: int


Fault = Callable[[Request], int | str | None]
"""Returns what is wrong with an answer: a status, "cut" for a body that breaks off, "reset"; None for nothing."""


class RangeServer:
    """Serves `files` by path, whole or by ranges; `requests` lists them, and `fault` may spoil an answer."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.requests: list[Request] = []
        self.without_ranges: set[str] = set()
        self.fault: Fault = lambda request: None
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def put(self, name: str, content: bytes) -> str:
        """Serve a file and return its URL."""
        self.files[f"/{name}"] = content
        return f"{self.url}/{name}"

    @property
    def bytes_read(self) -> int:
        """The sum of the bytes that were asked for and sent."""
        return sum(request.end - request.start for request in self.requests if request.method == "GET")

    def __enter__(self) -> RangeServer:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(server) -> type[BaseHTTPRequestHandler]:  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server._answer(self)

            do_HEAD = do_GET  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        return Handler

    def _answer(self, to: BaseHTTPRequestHandler) -> None:
        content = self.files.get(to.path)
        if content is None:
            to.send_response(404)
            to.send_header("Content-Length", "0")
            to.end_headers()
            return
        has_ranges = to.path not in self.without_ranges
        asked = _RANGE.fullmatch(to.headers.get("Range", "")) if has_ranges else None
        start, end = (int(asked[1]), int(asked[2] or len(content) - 1) + 1) if asked else (0, len(content))
        request = Request(to.command, to.path, start, min(end, len(content)))
        self.requests.append(request)
        wrong = self.fault(request)
        if isinstance(wrong, int):
            to.send_response(wrong)
            to.send_header("Content-Length", "0")
            to.end_headers()
            return
        if wrong == "reset":
            to.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            to.close_connection = True
            to.connection.close()
            return
        body = content[start:end]
        to.send_response(206 if asked else 200)
        to.send_header("Content-Length", str(len(body)))
        to.send_header("Accept-Ranges", "bytes" if has_ranges else "none")
        to.send_header("ETag", f'"{zlib.crc32(content)}"')
        if asked:
            to.send_header("Content-Range", f"bytes {start}-{request.end - 1}/{len(content)}")
        to.end_headers()
        if to.command == "GET":
            to.wfile.write(body[: len(body) // 2] if wrong == "cut" else body)
        if wrong == "cut":
            to.close_connection = True
