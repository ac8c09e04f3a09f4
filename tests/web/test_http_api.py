"""`docs/http-api.md`: every request in it is made, in its order, and answered as it says."""

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
from analytics_kit.web.app import APP_NAME, create_app
from analytics_kit.web.openapi_responses import ERROR_DESCRIPTIONS
from analytics_kit.web.settings import ServerSettings
from tests.processes import until
from tests.web.api_client import TOKENS
from tests.web.small_study import small_zip

PAGE = Path(__file__).parents[2] / "docs" / "http-api.md"
PAIR = re.compile(
    r"(?:<!-- (?P<before>.+?) -->\n)?```http\n(?P<asked>[A-Z]+ /.*?)\n```\n\n```http\n(?P<told>.*?)\n```",
    re.S,
)
JOB = re.compile(r"\b(?:[0-9a-f]{16}|[0-9a-f]{64})\b")
"""The id of a job, the key of a result or the content of a study."""
CONTENT = "3b" * 32
"""How the content of the study that is uploaded is written on the page."""
LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ")
TIMES = ("created_at", "started_at", "ended_at", "changed_at")
VARIES = ("size_bytes", "rate_per_s")
MORE = "…"
ZIP_BODY = "(the bytes of a ZIP)"


class Reader:
    """Compares what is written with what is told; ids of jobs are paired as they come."""

    def __init__(self, content):
        self.ids = {CONTENT: content}

    def text(self, written):
        """The written text with the ids that there are."""
        return JOB.sub(lambda found: self.ids.get(found[0], found[0]), written)

    def same(self, written, told, at=""):
        if isinstance(written, dict):
            rest = MORE in written
            assert isinstance(told, dict), at
            assert rest or written.keys() == told.keys(), at
            for name in written.keys() - {MORE}:
                self.same(written[name], told[name], f"{at}.{name}")
        elif isinstance(written, list):
            rest = written[-1:] == [MORE]
            assert rest or len(written) == len(told), at
            for number, item in enumerate(written[: len(written) - rest]):
                self.same(item, told[number], f"{at}[{number}]")
        elif at.rpartition(".")[2] in TIMES and written is not None:
            assert datetime.fromisoformat(written).tzinfo, at
            assert datetime.fromisoformat(told).tzinfo, at
        elif isinstance(written, str) and LINE.match(written):
            assert LINE.match(told), at
            assert LINE.sub("", written) == LINE.sub("", told), at
        elif at.rpartition(".")[2] in VARIES and not isinstance(written, str):
            assert type(written) is type(told), at
        elif isinstance(written, str):
            self.strings(written, told, at)
        else:
            assert told == (pytest.approx(written) if isinstance(written, float) else written), at

    def strings(self, written, told, at):
        assert isinstance(told, str), at
        for mine, theirs in zip(JOB.findall(written), JOB.findall(told), strict=False):
            assert self.ids.setdefault(mine, theirs) == theirs, at
        assert self.text(written) == told, at


@pytest.fixture(scope="module")
def asks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("documented")
    (folder / "data").mkdir()
    ak.sample_study(folder / "data" / "study-7.zip", participants=2, trials=1)
    (folder / "data" / "broken.zip").write_bytes(b"PK and nothing of a ZIP" * 4)
    settings = {"home": folder / "home", "data": str(folder / "data"), "token": f"ann: {TOKENS['ann']}"}
    app = create_app(ServerSettings.of("local", **settings))
    client = app.test_client()

    def settle():
        known = {"Authorization": f"Bearer {TOKENS['ann']}"}
        busy = ("queued", "running")
        until(
            lambda: not any(client.get(f"{URL_PREFIX}/queue-status", headers=known).json[s] for s in busy),
            "all is done",
        )

    @contextmanager
    def before(words):
        if words == "the results have had their time":
            shutil.rmtree(folder / "home" / "store" / "results")
            yield
        elif words == "the queue is away":
            backend = app.extensions[APP_NAME]._clients["ann"].backend
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(backend, "list", _away)
                yield
        else:
            assert words is None
            yield

    def ask(asked, words):
        settle()
        head, _, body = asked.partition("\n\n")
        line, *headers = head.splitlines()
        method, path = line.split(" ")
        known = dict(header.split(": ") for header in headers)
        known.setdefault("Authorization", f"Bearer {TOKENS['ann']}")
        length = known.pop("Content-Length", None)
        environ = {} if length is None else {"CONTENT_LENGTH": length}
        data = small_zip(seed=7) if body == ZIP_BODY else body.encode() or None
        with before(words):
            return client.open(URL_PREFIX + path, method=method, headers=known, data=data, environ_overrides=environ)

    yield ask
    settle()
    app.extensions[APP_NAME].close()


def _away(status=None):
    raise BrokerUnavailableError("Redis at redis://10.0.0.1:6379 can't be used.")


def test_every_request_is_answered_as_it_says(asks, tmp_path):
    (tmp_path / "s.zip").write_bytes(small_zip(seed=7))
    reader, codes = Reader(fingerprint(str(tmp_path / "s.zip"))[0]), set()
    pairs = list(PAIR.finditer(PAGE.read_text()))
    assert len(pairs) == PAGE.read_text().count("```http") / 2
    for pair in pairs:
        answer = asks(reader.text(pair["asked"]), pair["before"])
        head, _, body = pair["told"].partition("\n\n")
        status, *headers = head.splitlines()
        where = pair["asked"].splitlines()[0]
        assert f"{answer.status_code}" == status.split()[0], (where, answer.get_data())
        codes.add(answer.status_code)
        for header in headers:
            name, _, value = header.partition(": ")
            reader.strings(value, answer.headers[name], f"{where} {name}")
        if answer.mimetype == "application/json":
            reader.same(json.loads(body), answer.json, where)
        elif answer.mimetype == "text/csv":
            lines = body.splitlines()
            assert lines[-1] == MORE
            assert answer.get_data(as_text=True).startswith("\n".join(lines[:-1]))
        else:
            assert body == ""
    assert codes >= {200, 202, 204, *ERROR_DESCRIPTIONS} - {403, 500}, "each status has its sample"
