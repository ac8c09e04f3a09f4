"""Run the WSGI application on an event loop: a thread works on a request only once its bytes have arrived.

The event loop reads heads and small bodies and sends what is left of responses, so neither a client that is slow to
ask nor one that is slow to read occupies a thread. A body that is read while it arrives, an upload, has a thread of
another pool; how many of these, and of downloads, there are at a time is limited.
"""

from __future__ import annotations

import asyncio
import contextvars
import io
import sys
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from concurrent.futures import CancelledError, Executor, Future, ThreadPoolExecutor
from typing import Any
from urllib.parse import unquote_to_bytes

from werkzeug.exceptions import ClientDisconnected, RequestTimeout

from analytics_kit.web.error_responses import ERROR_RETRY_AFTER_S, http_error_body

SMALL_BODY_BYTES = 1 << 20
"""Bodies up to this size are received before a thread begins to work on their request."""
BODY_LIMIT_S = 30.0
"""Time for a small body to arrive, and for each piece of a large one."""
RESPONSE_PIECE_BYTES = 1 << 20
"""A large body is handed on in pieces of this size."""
LEAST_BYTES_PER_S = 1000
"""An upload is ended when less than this arrives, averaged over `BODY_LIMIT_S`."""
SEND_BYTES = 1 << 18
SEND_LIMIT_S = 60.0
"""A download is ended when the client takes longer than this for `SEND_BYTES`."""

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class WsgiBridge:
    """An ASGI application that runs a WSGI application.

    Parameters
    ----------
    app : WSGI application
    threads : int
        Requests that are worked on at a time.
    uploads, downloads : int
        Large bodies that are received, and responses in several pieces that are sent, at a time. Further ones are
        answered with 503.
    """

    def __init__(self, app: WsgiApp, threads: int, uploads: int, downloads: int) -> None:
        self._app = app
        self._request_pool = ThreadPoolExecutor(threads, "request")
        self._upload_pool = ThreadPoolExecutor(uploads, "upload")
        self._free_uploads, self._free_downloads = uploads, downloads  # changed on the event loop only

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":  # a web socket: closing it before it is accepted answers with 403
            await send({"type": "websocket.close"})
            return
        environ = wsgi_environ(scope)
        n_bytes = int(environ.get("CONTENT_LENGTH") or 0)
        if "HTTP_TRANSFER_ENCODING" in environ or n_bytes > SMALL_BODY_BYTES:
            await self._answer_upload(environ, receive, send)
            return
        if not n_bytes:
            environ["wsgi.input"] = io.BytesIO()
            await self._answer(environ, self._request_pool, send)
            return
        try:
            async with asyncio.timeout(BODY_LIMIT_S):
                body = await _receive_all(receive)
        except TimeoutError:
            await _send_error(send, 408)
            return
        if body is not None:
            environ["wsgi.input"] = io.BytesIO(body)
            await self._answer(environ, self._request_pool, send)

    async def _answer_upload(self, environ: dict[str, Any], receive: Receive, send: Send) -> None:
        if not self._free_uploads:
            await _send_error(send, 503, "Too many uploads are being received.")
            return
        self._free_uploads -= 1
        body = _ArrivingBody(receive)
        try:
            environ["wsgi.input"] = body
            await self._answer(environ, self._upload_pool, send)
        finally:
            body.stop()
            self._free_uploads += 1

    async def _answer(self, environ: dict[str, Any], pool: Executor, send: Send) -> None:
        loop = asyncio.get_running_loop()
        response = _Response(self._app, environ)
        is_counted = False
        try:
            body, more = await loop.run_in_executor(pool, response.start)
            if more:
                if not self._free_downloads:
                    await _send_error(send, 503, "Too many downloads are being sent.")
                    return
                self._free_downloads -= 1
                is_counted = True
            await send({"type": "http.response.start", "status": response.status, "headers": response.headers})
            while await _send_body(send, body, more):
                if not more:
                    return
                body, more = await loop.run_in_executor(self._request_pool, response.read)
        finally:
            self._free_downloads += is_counted
            response.abandon()


class _Response:
    """A response that is made piece by piece, by one thread at a time."""

    def __init__(self, app: WsgiApp, environ: dict[str, Any]) -> None:
        self._app, self._environ = app, environ
        self._context = contextvars.copy_context()  # Flask's own contexts stay open until the last piece
        self._lock = threading.Lock()
        self._pieces: Iterable[bytes] = ()
        self._iterator: Iterator[bytes] = iter(())
        self._made_bytes = 0
        self._length: int | None = None
        self._is_abandoned = self._is_closed = False
        self.status = 500
        self.headers: list[tuple[bytes, bytes]] = []

    def start(self) -> tuple[bytes, bool]:
        """Call the application; return the first bytes of the body and whether there are more."""
        return self._alone(self._call)

    def read(self) -> tuple[bytes, bool]:
        """Return the next bytes and whether there are more."""
        return self._alone(self._next)

    def abandon(self) -> None:
        """Release what the response holds, at the latest when the thread that works on it is done."""
        self._is_abandoned = True
        self._close_if_idle()

    def _alone(self, step: Callable[[], tuple[bytes, bool]]) -> tuple[bytes, bool]:
        body, more = b"", False
        try:
            with self._lock:
                if not self._is_abandoned:
                    body, more = self._context.run(step)
        finally:
            self._is_abandoned |= not more
            self._close_if_idle()
        return body, more

    def _close_if_idle(self) -> None:
        if self._is_abandoned and self._lock.acquire(blocking=False):
            try:
                if not self._is_closed:
                    self._is_closed = True
                    if close := getattr(self._pieces, "close", None):
                        self._context.run(close)
            finally:
                self._lock.release()

    def _call(self) -> tuple[bytes, bool]:
        self._pieces = self._app(self._environ, self._start_response)
        self._iterator = iter(self._pieces)
        return self._next()

    def _start_response(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
        self.status = int(status.split(None, 1)[0])
        self.headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        lengths = [value for name, value in headers if name.lower() == "content-length"]
        self._length = int(lengths[0]) if lengths else None

    def _next(self) -> tuple[bytes, bool]:
        pieces, n_bytes = [], 0
        for piece in self._iterator:
            pieces.append(piece)
            n_bytes += len(piece)
            if n_bytes >= SEND_BYTES:
                break
        else:
            return b"".join(pieces), False
        self._made_bytes += n_bytes
        return pieces[0] if len(pieces) == 1 else b"".join(pieces), self._made_bytes != self._length


class _ArrivingBody(io.RawIOBase):
    """The body of a request as a file, read by a thread while the event loop receives the next piece.

    Raises RequestTimeout where it arrives too slowly, and ClientDisconnected where it breaks off.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._loop = asyncio.get_running_loop()
        self._piece = memoryview(b"")
        self._coming: Future[tuple[bytes, bool] | None] | None = None
        self._is_complete = False
        self._is_stopped = False

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        if not self._piece and not self._is_complete:
            self._piece = memoryview(self._next_piece())
        with memoryview(target).cast("B") as view:
            n_bytes = min(len(view), len(self._piece))
            view[:n_bytes] = self._piece[:n_bytes]
        self._piece = self._piece[n_bytes:]
        return n_bytes

    def read(self, size: int = -1) -> bytes:
        """Return at most `size` bytes, without a copy where they are one piece."""
        if size is None or size < 0:
            return self.readall()
        if not self._piece and not self._is_complete:
            self._piece = memoryview(self._next_piece())
        taken, self._piece = self._piece[:size], self._piece[size:]
        return taken.obj if isinstance(taken.obj, bytes) and len(taken.obj) == len(taken) else bytes(taken)

    def stop(self) -> None:
        """End a read that waits: the request was answered, or the client is gone."""
        self._is_stopped = True
        if self._coming is not None:
            self._coming.cancel()

    def _next_piece(self) -> bytes:
        if self._is_stopped:
            raise ClientDisconnected
        coming = self._coming or self._begin()
        try:
            received = coming.result()
        except TimeoutError:
            raise RequestTimeout("The body did not arrive in time.") from None
        except CancelledError:
            raise ClientDisconnected from None
        if received is None:
            raise ClientDisconnected
        piece, more = received
        self._is_complete = not more
        self._coming = self._begin() if more else None
        return piece

    def _begin(self) -> Future[tuple[bytes, bool] | None]:
        return asyncio.run_coroutine_threadsafe(self._receive_piece(), self._loop)

    async def _receive_piece(self) -> tuple[bytes, bool] | None:
        """Return the next bytes and whether there are more; None once the client is gone, also if nobody asks."""
        pieces: list[bytes] = []
        n_bytes, more = 0, True
        try:
            async with asyncio.timeout(BODY_LIMIT_S):
                while more and n_bytes < RESPONSE_PIECE_BYTES:
                    message = await self._receive()
                    if message["type"] == "http.disconnect":
                        return None
                    pieces.append(message.get("body", b""))
                    n_bytes += len(pieces[-1])
                    more = message.get("more_body", False)
        except TimeoutError:
            if n_bytes < LEAST_BYTES_PER_S * BODY_LIMIT_S:
                raise
        return b"".join(pieces), more


def wsgi_environ(scope: Message) -> dict[str, Any]:
    """Return the WSGI environment of an ASGI request, without its input."""
    raw_path = bytes(scope["raw_path"])
    if raw_path.lower().startswith((b"http://", b"https://")):  # proxies may send the whole URL
        raw_path = b"/" + raw_path.split(b"/", 3)[3] if raw_path.count(b"/") > 2 else b"/"
    host, port = _address(scope["server"])
    query = scope["query_string"].decode("latin-1")
    path = raw_path.decode("latin-1")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(raw_path).decode("latin-1"),
        "QUERY_STRING": query,
        "RAW_URI": f"{path}?{query}" if query else path,
        "SERVER_NAME": host,
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "REMOTE_ADDR": _address(scope["client"])[0],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.errors": sys.stderr,
        "wsgi.input_terminated": True,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for raw_name, raw_value in scope["headers"]:
        name = raw_name.decode("latin-1").upper().replace("-", "_")
        value = raw_value.decode("latin-1")
        key = name if name in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{name}"
        if key in environ:
            value = f"{environ[key]}{'; ' if name == 'COOKIE' else ','}{value}"
        environ[key] = value
    return environ


def _address(address: Any) -> tuple[str, str]:
    if address is None or len(address) < 2 or not isinstance(address[1], int):  # of a Unix socket
        return "localhost", "80"
    return str(address[0]), str(address[1])


async def _receive_all(receive: Receive) -> bytes | None:
    """Return the whole body; None if the client disconnects before."""
    pieces, more = [], True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        pieces.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(pieces)


async def _send_body(send: Send, body: bytes, more: bool) -> bool:
    """Send bytes of a body, no faster than the client takes them; return False if it takes too long."""
    for start in range(0, len(body) or 1, SEND_BYTES):
        end = start + SEND_BYTES
        message = {
            "type": "http.response.body",
            "body": body[start:end] if len(body) > SEND_BYTES else body,
            "more_body": more or end < len(body),
        }
        try:
            async with asyncio.timeout(SEND_LIMIT_S):
                await send(message)
        except TimeoutError:
            return False
    return True


async def _send_error(send: Send, code: int, message: str = "") -> None:
    body, headers = http_error_body(code, message)
    if code == 503:
        headers["Retry-After"] = str(ERROR_RETRY_AFTER_S)
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": code, "headers": pairs})
    await send({"type": "http.response.body", "body": body})
