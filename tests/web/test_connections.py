"""Slow, large and broken requests: none occupies a thread, and each is answered in the form of the API."""

import asyncio
import http.client
import json
import re
import signal
import socket
import struct
import sys
from contextlib import ExitStack
from types import SimpleNamespace
from unittest import mock

import pytest
from gunicorn.config import Config

from analytics_kit.web.connections import ClientConnection
from tests.processes import until
from tests.web.running_server import API, SERVE, TOKEN, running_servers
from tests.web.small_study import small_zip

SLOW_CLIENTS = 50
SHORT_LIMITS = f"""
import analytics_kit.web.wsgi_bridge as bridge, analytics_kit.web.server as server, analytics_kit.web.connections as c
bridge.BODY_LIMIT_S = bridge.SEND_LIMIT_S = 0.5
server.HEAD_LIMIT_S = 1
server.TRANSFERS = 2
bridge.SEND_BYTES = 1 << 10
{SERVE}
"""
UPLOAD_LINES = (f"Authorization: Bearer {TOKEN}", "Content-Type: application/zip")


@pytest.fixture(scope="module")
def start(tmp_path_factory, data):
    with running_servers(tmp_path_factory.mktemp("servers"), data) as start:
        yield start


@pytest.fixture(scope="module")
def server(start):
    return start(ANALYTICS_KIT_TOKEN=TOKEN)


@pytest.fixture(scope="module")
def hasty(start):
    """A server with limits of a second or less, and of two uploads and downloads."""
    return start(program=SHORT_LIMITS, ANALYTICS_KIT_TOKEN=TOKEN)


@pytest.fixture
def connect():
    """connect(server, text, ...) → a socket that has sent the text."""
    with ExitStack() as stack:

        def make(server, text="", receive_bytes=None):
            wire = stack.enter_context(socket.socket())
            wire.settimeout(20)
            if receive_bytes is not None:
                wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
            wire.connect((server.host, server.port))
            wire.sendall(text if isinstance(text, bytes) else text.encode())
            return wire

        yield make


def head(method, path, *lines):
    return "\r\n".join([f"{method} {API}{path} HTTP/1.1", "Host: x", *lines, "", ""])


def answer(wire):
    """Return status, headers and JSON of the one response that the server sends."""
    response = http.client.HTTPResponse(wire)
    response.begin()
    body = response.read()
    return response.status, response.headers, json.loads(body) if body else None


def assert_error(wire, code):
    status, headers, body = answer(wire)
    assert status == code
    assert headers["Content-Type"] == "application/json"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert {"error", "message", "hint"} <= body.keys()
    assert body["message"]
    assert body["hint"] or code in (400, 426, 501)
    return headers, body


HALF_HEAD = f"GET {API}/health/live HTTP/1.1\r\nHost: x\r\nX-More: "
HALF_BODY = head("POST", "/jobs", *UPLOAD_LINES[:1], "Content-Type: application/json", "Content-Length: 50") + "{"
HALF_UPLOAD = head("POST", "/slow/zip-data", *UPLOAD_LINES, "Content-Length: 9000000") + "PK\x03\x04"


@pytest.mark.parametrize("text", [HALF_HEAD, HALF_BODY, HALF_UPLOAD], ids=["head", "body", "upload"])
def test_slow_clients_keep_nobody_from_being_answered(server, connect, text):
    for _ in range(SLOW_CLIENTS):
        connect(server, text)
    assert server.request("/health/live").status == 200
    assert server.request("/queue-status").status == 200


def test_clients_that_do_not_read_keep_nobody_from_being_answered(server, connect):
    job = server.request("/ok/zip-data?async=false").json
    table = job["result_url"].removeprefix(API) + "?table=mouse_movement&format=csv"
    slow = [connect(server, head("GET", table, *UPLOAD_LINES[:1]), 2048) for _ in range(SLOW_CLIENTS)]
    assert server.request("/health/live").status == 200
    statuses = {wire.recv(12) for wire in slow}
    assert statuses <= {b"HTTP/1.1 200", b"HTTP/1.1 503"}
    assert server.request(table).status in (200, 503)


def test_a_head_that_does_not_arrive_in_time_is_answered(hasty, connect):
    assert_error(connect(hasty, HALF_HEAD), 408)


def test_a_connection_without_a_request_is_closed(hasty, connect):
    assert connect(hasty).recv(1) == b""


def test_a_body_that_does_not_arrive_in_time_is_answered(hasty, connect):
    assert_error(connect(hasty, HALF_BODY), 408)


def test_an_upload_that_does_not_go_on_is_answered_and_leaves_nothing(hasty, connect, tmp_path):
    assert_error(connect(hasty, HALF_UPLOAD), 408)
    uploads = hasty.folder.parent / "home" / "store" / "uploads"
    until(lambda: not list(uploads.glob("*/*")), "nothing of it is left")


def test_uploads_beyond_the_limit_are_told_to_come_again(server, hasty, connect):
    refused = [connect(hasty, HALF_UPLOAD) for _ in range(4)]
    codes = sorted(answer(wire)[0] for wire in refused)
    assert codes == [408, 408, 503, 503]
    body = small_zip(seed=7)
    assert hasty.request("/after/zip-data", "POST", body, Content_Type="application/zip").status == 202


def test_a_download_that_is_not_read_is_ended(hasty, connect):
    job = hasty.request("/ok/zip-data?async=false").json
    table = job["result_url"].removeprefix(API) + "?table=mouse_movement&format=csv"
    connection = connect(hasty, head("GET", table, *UPLOAD_LINES[:1]) * 100, 2048)
    until(lambda: "without completing the response" in hasty.stderr_text(), "it is ended")
    received = b""
    while piece := connection.recv(1 << 16):
        received += piece
    assert 0 < received.count(b"HTTP/1.1 200") < 100


def test_a_second_request_of_a_connection_is_answered(server, connect):
    wire = connect(server, head("GET", "/health/live") * 2)
    text = b""
    while text.count(b'{"live":true}') < 2:
        piece = wire.recv(1 << 16)
        assert piece
        text += piece


@pytest.mark.parametrize("n_bytes", [9_000, 60_000])
def test_large_cookies_are_accepted(server, n_bytes):
    assert server.request("/jobs", Cookie=f"hub={'c' * n_bytes}").status == 200


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (head("GET", "/jobs", f"Cookie: hub={'c' * 70_000}"), 431),
        (head("GET", "/jobs", *(f"X-{number}: 1" for number in range(200))), 431),
        (head("GET", "/jobs", *(f"X-{number}: {'x' * 60_000}" for number in range(9))), 431),
        (head("GET", f"/jobs?job_id={'j' * 9000}"), 414),
        ("GET\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: x\r\nBad Header: 1\r\n\r\n", 400),
        (head("POST", "/jobs", "Content-Length: 1", "Content-Length: 2"), 400),
        (head("POST", "/jobs", "Transfer-Encoding: br"), 501),
    ],
    ids=["header", "headers", "head", "line", "request", "name", "lengths", "coding"],
)
def test_a_request_that_can_not_be_read_is_answered_in_the_form_of_the_api(server, connect, text, code):
    _, body = assert_error(connect(server, text), code)
    assert "xxxx" not in json.dumps(body)


@pytest.mark.parametrize(("method", "path"), [("GET", "/jobs/x/result/file"), ("GET", "/jobs")])
def test_a_body_that_nobody_reads_does_not_become_a_request(server, connect, method, path):
    hidden = head("GET", "/health/live")
    wire = connect(server, head(method, path, f"Content-Length: {len(hidden)}", "Connection: close") + hidden)
    text = b""
    while piece := wire.recv(1 << 16):
        text += piece
    assert text.count(b"HTTP/1.1") == 1


def test_the_answer_to_a_refused_upload_arrives_while_the_client_still_sends(server, connect):
    lines = ("Authorization: Bearer nonsense-0123456789", "Content-Type: application/zip", "Content-Length: 50000000")
    wire = connect(server, head("POST", "/mine/zip-data", *lines))
    for _ in range(8):
        wire.sendall(bytes(1 << 20))
    assert_error(wire, 401)


def test_a_proxy_may_send_the_whole_url(server, connect):
    wire = connect(server, f"GET http://x{API}/health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer(wire)[0] == 200


def test_an_upload_in_chunks_is_refused_for_its_missing_length(server, connect):
    assert_error(connect(server, head("POST", "/mine/zip-data", *UPLOAD_LINES, "Transfer-Encoding: chunked")), 411)


def test_a_client_that_expects_to_be_told_to_continue_is(server, connect):
    body = small_zip(seed=7)
    lines = (*UPLOAD_LINES, f"Content-Length: {len(body)}", "Expect: 100-continue")
    wire = connect(server, head("POST", "/mine/zip-data", *lines))
    assert wire.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
    wire.sendall(body)
    assert answer(wire)[0] == 202


def test_a_web_socket_is_refused(server, connect):
    lines = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
    wire = connect(server, head("GET", "/jobs", *lines, "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg=="))
    assert re.match(rb"HTTP/1.1 4\d\d ", wire.recv(100))


def test_a_web_socket_of_another_version_is_answered(server, connect):
    lines = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 12", "Sec-WebSocket-Key: x")
    headers, _ = assert_error(connect(server, head("GET", "/jobs", *lines)), 426)
    assert headers["Sec-WebSocket-Version"] == "13"


def test_a_connection_that_its_client_resets_is_closed():
    async def run():
        is_reset = asyncio.Event()

        async def app(scope, receive, send):
            await send({"type": "http.response.start", "status": 401, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})
            await is_reset.wait()

        loop = asyncio.get_running_loop()
        worker = SimpleNamespace(
            cfg=Config(), log=mock.Mock(access_log_enabled=False), asgi=app, loop=loop,
            alive=True, nr=0, nr_conns=0, max_requests=sys.maxsize, connections=set(),
        )  # fmt: skip
        listener = await loop.create_server(lambda: ClientConnection(worker), "127.0.0.1", 0)
        wire = socket.socket()
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        wire.setblocking(False)
        await loop.sock_connect(wire, listener.sockets[0].getsockname())
        await loop.sock_sendall(wire, head("POST", "/", "Content-Length: 50000000").encode() + bytes(500_000))
        while not any(connection._reading_paused for connection in worker.connections):
            await asyncio.sleep(0.01)
        wire.close()
        is_reset.set()
        while worker.connections:
            await asyncio.sleep(0.01)
        listener.close()

    asyncio.run(asyncio.wait_for(run(), 20))


def test_idle_connections_do_not_delay_the_end_of_the_server(start, connect):
    server = start(ANALYTICS_KIT_TOKEN=TOKEN)
    kept = connect(server, head("GET", "/health/live"))
    assert kept.recv(12) == b"HTTP/1.1 200"
    connect(server, HALF_HEAD)
    connect(server)
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(12) == 0  # they would be kept for 15 s
