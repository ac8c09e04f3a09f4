"""The bridge between the event loop and the application, with an event loop and an application of the test's own."""

import asyncio
import threading

import pytest

from analytics_kit.web import wsgi_bridge
from analytics_kit.web.wsgi_bridge import WsgiBridge, wsgi_environ


def scope(path="/", method="GET", headers=(), query=""):
    return {
        "type": "http", "method": method, "raw_path": path.encode(), "query_string": query.encode(), "scheme": "http",
        "http_version": "1.1", "headers": list(headers), "server": ("127.0.0.1", 80), "client": ("192.0.2.1", 5),
    }  # fmt: skip


class Pieces:
    """A response body that notes when it is closed."""

    def __init__(self, pieces, gate=None):
        self._pieces, self._gate, self.is_closed = iter(pieces), gate, threading.Event()

    def __iter__(self):
        return self

    def __next__(self):
        piece = next(self._pieces)
        if self._gate is not None:
            self._gate.wait(20)
        return piece

    def close(self):
        self.is_closed.set()


def exchange(app, request_scope, messages=(), cancel_after=None):
    """Return the messages that the application sends in answer to a request."""
    sent = []

    async def run():
        coming = list(messages) or [{"type": "http.request", "body": b"", "more_body": False}]

        async def receive():
            return coming.pop(0) if coming else {"type": "http.disconnect"}

        async def send(message):
            sent.append(dict(message))
            if len(sent) == cancel_after:
                raise asyncio.CancelledError

        await WsgiBridge(app, 2, 1, 1)(request_scope, receive, send)

    try:
        asyncio.run(run())
    except asyncio.CancelledError:
        assert cancel_after
    return sent


def responding(body, *headers):
    def app(environ, start_response):
        start_response("200 OK", list(headers))
        return body

    return app


def test_headers_of_one_name_are_joined():
    headers = [
        (b"cookie", b"a=1"),
        (b"cookie", b"b=2"),
        (b"accept", b"x"),
        (b"accept", b"y"),
        (b"content-type", b"t"),
    ]
    environ = wsgi_environ(scope(headers=headers))
    assert (environ["HTTP_COOKIE"], environ["HTTP_ACCEPT"], environ["CONTENT_TYPE"]) == ("a=1; b=2", "x,y", "t")


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/a%20b%C3%A9", "/a bé"), ("http://x:1/a/b", "/a/b"), ("https://x", "/"), ("/%ff", b"/\xff"), ("*", "*")],
)
def test_the_path_is_decoded_to_the_bytes_that_wsgi_wants(path, expected):
    raw = expected if isinstance(expected, bytes) else expected.encode()
    assert wsgi_environ(scope(path))["PATH_INFO"].encode("latin-1") == raw


def test_an_address_of_a_unix_socket_is_this_machine():
    environ = wsgi_environ(scope() | {"server": ("/", "t"), "client": None})
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"], environ["REMOTE_ADDR"]) == (
        "localhost",
        "80",
        "localhost",
    )


def test_a_large_body_of_one_piece_is_no_download():
    body = [bytes(3 * wsgi_bridge.SEND_BYTES)]
    app = responding(body, ("Content-Length", str(len(body[0]))))
    start, *pieces = exchange(app, scope())
    assert start["status"] == 200
    assert b"".join(piece["body"] for piece in pieces) == body[0]
    assert [piece["more_body"] for piece in pieces] == [True, True, False]


def test_a_response_of_many_pieces_is_sent_whole_and_closed():
    body = Pieces([b"x" * 100_000] * 20)
    _, *pieces = exchange(responding(body), scope())
    assert b"".join(piece["body"] for piece in pieces) == b"x" * 2_000_000
    assert not pieces[-1]["more_body"]
    assert body.is_closed.wait(20)


def test_a_response_is_closed_when_its_client_is_gone():
    body = Pieces([b"x" * wsgi_bridge.SEND_BYTES] * 20)
    assert len(exchange(responding(body), scope(), cancel_after=3)) == 3
    assert body.is_closed.wait(20)


def test_a_body_arrives_whole_in_whatever_pieces_it_is_sent_and_read():
    content = bytes(range(256)) * 20_000
    read = []

    def app(environ, start_response):
        while piece := environ["wsgi.input"].read(70_001):
            read.append(piece)
        start_response("200 OK", [])
        return []

    size = 333_333
    messages = [
        {"type": "http.request", "body": content[start : start + size], "more_body": start + size < len(content)}
        for start in range(0, len(content), size)
    ]
    exchange(app, scope(method="POST", headers=[(b"content-length", str(len(content)).encode())]), messages)
    assert b"".join(read) == content


def test_a_body_that_breaks_off_is_a_disconnect_and_not_an_end():
    errors = []

    def app(environ, start_response):
        try:
            while environ["wsgi.input"].read(100):
                pass
        except wsgi_bridge.ClientDisconnected as error:
            errors.append(error)
        start_response("400 Bad Request", [])
        return []

    messages = [{"type": "http.request", "body": b"x" * 50, "more_body": True}]
    exchange(app, scope(method="POST", headers=[(b"content-length", b"9000000")]), messages)
    assert len(errors) == 1


def test_a_small_body_that_breaks_off_never_reaches_the_application():
    def app(environ, start_response):
        raise AssertionError

    messages = [{"type": "http.request", "body": b"x", "more_body": True}]
    assert exchange(app, scope(method="POST", headers=[(b"content-length", b"50")]), messages) == []
