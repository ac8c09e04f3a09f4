"""`docs/http-api.md`: every request on the page is sent, in order, and answered as documented."""

import json
import re
import shutil
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pytest

import analytics_kit as ak
from analytics_kit.errors import BrokerUnavailableError
from analytics_kit.study.archive.source import fingerprint
from analytics_kit.web import URL_PREFIX
from analytics_kit.web.app import create_app
from analytics_kit.web.openapi_responses import ERROR_DESCRIPTIONS, UNREADABLE_ERRORS
from analytics_kit.web.settings import ServerSettings
from tests.processes import until
from tests.web.api_client import TOKENS, ApiClient
from tests.web.small_study import small_zip
from tests.web.test_openapi_schema import ROUTES

PAGE = Path(__file__).parents[2] / "docs" / "http-api.md"
SAMPLE = re.compile(
    r"(?:<!-- (?P<condition>.+?) -->\n)?```http\n(?P<request>[A-Z]+ /.*?)\n```\n\n```http\n(?P<response>.*?)\n```",
    re.S,
)
ID = re.compile(r"\b(?:[0-9a-f]{16}|[0-9a-f]{64})\b")
"""The id of a job, the key of a result or the fingerprint of a study."""
FINGERPRINT = "3b" * 32
"""The fingerprint that the page gives for the study that it uploads."""
LOG_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ")
TIMES = ("created_at", "started_at", "ended_at", "changed_at")
VARYING = ("size_bytes", "rate_per_s")
OMISSION = "…"
ZIP_BODY = "(the bytes of a ZIP)"


class Comparison:
    """Compares documented with actual values; ids are paired in order of appearance."""

    def __init__(self, content):
        self.ids = {FINGERPRINT: content}

    def with_actual_ids(self, documented):
        return ID.sub(lambda match: self.ids.get(match[0], match[0]), documented)

    def require_equal(self, documented, actual, path=""):
        if isinstance(documented, dict):
            has_omission = OMISSION in documented
            assert isinstance(actual, dict), path
            assert has_omission or documented.keys() == actual.keys(), path
            for name in documented.keys() - {OMISSION}:
                self.require_equal(documented[name], actual[name], f"{path}.{name}")
        elif isinstance(documented, list):
            has_omission = documented[-1:] == [OMISSION]
            assert has_omission or len(documented) == len(actual), path
            for number, item in enumerate(documented[: len(documented) - has_omission]):
                self.require_equal(item, actual[number], f"{path}[{number}]")
        elif path.rpartition(".")[2] in TIMES and documented is not None:
            assert datetime.fromisoformat(documented).tzinfo, path
            assert datetime.fromisoformat(actual).tzinfo, path
        elif isinstance(documented, str) and LOG_TIME.match(documented):
            assert LOG_TIME.match(actual), path
            assert LOG_TIME.sub("", documented) == LOG_TIME.sub("", actual), path
        elif path.rpartition(".")[2] in VARYING and not isinstance(documented, str):
            assert type(documented) is type(actual), path
        elif documented == OMISSION:
            assert actual, path
        elif isinstance(documented, str):
            self.require_equal_text(documented, actual, path)
        else:
            assert actual == (pytest.approx(documented) if isinstance(documented, float) else documented), path

    def require_equal_text(self, documented, actual, path):
        assert isinstance(actual, str), path
        for documented_id, actual_id in zip(ID.findall(documented), ID.findall(actual), strict=False):
            assert self.ids.setdefault(documented_id, actual_id) == actual_id, path
        assert self.with_actual_ids(documented) == actual, path


def test_every_route_has_a_sample_on_the_page():
    requests = {tuple(sample["request"].split()[:2]) for sample in SAMPLE.finditer(PAGE.read_text(encoding="utf-8"))}
    for method, route in ROUTES:
        path = re.compile(re.sub(r"\\{\w+\\}", "[^/?]+", re.escape(route)) + r"(\?.*)?")
        assert any(method == sent and path.fullmatch(url) for sent, url in requests), f"{method} {route}"


@pytest.fixture(scope="module")
def send(tmp_path_factory):
    """send(request, condition) → the response to a request as the page gives it, under a condition or None."""
    folder = tmp_path_factory.mktemp("documented")
    (folder / "data").mkdir()
    ak.sample_study(folder / "data" / "study-7.zip", participants=2, trials=1)
    (folder / "data" / "broken.zip").write_bytes(b"PK and nothing of a ZIP" * 4)
    settings = {"home": folder / "home", "data": str(folder / "data"), "token": f"ann: {TOKENS['ann']}"}
    app = create_app(ServerSettings.of("local", **settings))
    ann = ApiClient(app, "ann")

    def wait_for_jobs():
        active = ("queued", "running")
        until(lambda: not any(ann.get("/queue-status").json[status] for status in active), "all jobs have ended")

    @contextmanager
    def under(condition):
        if condition == "after the results have expired":
            shutil.rmtree(folder / "home" / "store" / "results")
            yield
        elif condition == "while the queue is unreachable":
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(ann.backend, "list", _fail)
                yield
        else:
            assert condition is None
            yield

    def send_request(request, condition):
        wait_for_jobs()
        head, _, body = request.partition("\n\n")
        line, *lines = head.splitlines()
        method, path = line.split(" ")
        headers = dict(line.split(": ") for line in lines)
        headers.setdefault("Authorization", f"Bearer {TOKENS['ann']}")
        length = headers.pop("Content-Length", None)
        environ = {} if length is None else {"CONTENT_LENGTH": length}
        data = small_zip(seed=7) if body == ZIP_BODY else body.encode() or None
        with under(condition):
            return ann.client.open(
                URL_PREFIX + path, method=method, headers=headers, data=data, environ_overrides=environ
            )

    yield send_request
    wait_for_jobs()
    ann.service.close()


def _fail(status=None):
    raise BrokerUnavailableError("Redis at redis://10.0.0.1:6379 can't be used.")


def test_every_documented_request_has_the_documented_response(send, tmp_path):
    (tmp_path / "s.zip").write_bytes(small_zip(seed=7))
    comparison, codes = Comparison(fingerprint(str(tmp_path / "s.zip"))[0]), set()
    samples = list(SAMPLE.finditer(PAGE.read_text()))
    assert len(samples) == PAGE.read_text().count("```http") / 2
    for sample in samples:
        response = send(comparison.with_actual_ids(sample["request"]), sample["condition"])
        head, _, body = sample["response"].partition("\n\n")
        status, *headers = head.splitlines()
        request_line = sample["request"].splitlines()[0]
        assert f"{response.status_code}" == status.split()[0], (request_line, response.get_data())
        codes.add(response.status_code)
        for header in headers:
            name, _, value = header.partition(": ")
            comparison.require_equal_text(value, response.headers[name], f"{request_line} {name}")
        if response.mimetype == "application/json":
            comparison.require_equal(json.loads(body), response.json, request_line)
        elif response.mimetype == "text/csv":
            lines = body.splitlines()
            assert lines[-1] == OMISSION
            assert response.get_data(as_text=True).startswith("\n".join(lines[:-1]))
        else:
            assert body == ""
    assert codes >= {200, 202, 204, *ERROR_DESCRIPTIONS} - {403, 500, *UNREADABLE_ERRORS}, "each status has a sample"
