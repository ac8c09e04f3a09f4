"""The HTTP API in this process, on the local backend, and who asks it."""

import zipfile
from contextlib import ExitStack

import pytest

import analytics_kit as ak
from analytics_kit.model import JobStatus
from analytics_kit.web.app import NAME, create_app
from analytics_kit.web.settings import ServerSettings
from tests.processes import until
from tests.web.api_client import TOKENS, Asker


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """A folder with the studies `ok` (a ZIP), `tree` (a folder of other participants) and `broken`."""
    folder = tmp_path_factory.mktemp("data")
    ak.sample_study(folder / "ok.zip", participants=2, trials=1)
    other = ak.sample_study(tmp_path_factory.mktemp("other") / "other.zip", participants=1, trials=1, seed=5)
    with zipfile.ZipFile(other) as archive:
        archive.extractall(folder / "tree_study_id")
    (folder / "broken.zip").write_bytes(b"PK and nothing of a ZIP" * 4)
    (folder / "notes.txt").write_text("no study")
    (folder / "jobs.zip").write_bytes(b"a reserved word")
    return folder


@pytest.fixture
def settings(tmp_path, data):
    """settings(**changes) → settings of a server with two tokens."""

    def make(**changes):
        lines = "\n".join(f"{name}: {token}" for name, token in TOKENS.items())
        known = {"home": tmp_path / "home", "data": str(data), "token": lines, "answer_limit_s": 30}
        known["backend"] = "local"
        return ServerSettings.of(**(known | changes))

    return make


@pytest.fixture
def app(settings):
    app = create_app(settings())
    yield app
    app.extensions[NAME].close()


@pytest.fixture
def asker(settings):
    """asker(**settings) → ann at a server of her own."""
    with ExitStack() as stack:

        def make(**changes):
            app = create_app(settings(**changes))
            stack.callback(app.extensions[NAME].close)
            return Asker(app, "ann")

        yield make


@pytest.fixture
def ann(app):
    return Asker(app, "ann")


@pytest.fixture
def bob(app):
    return Asker(app, "bob")


@pytest.fixture
def nobody(app):
    return Asker(app)


@pytest.fixture
def gate(tmp_path, ann):
    """The one thread of ann's backend waits until this file is there, which it is at the end in any case."""
    path = tmp_path / "gate"
    job_id = ann.submit("gated", gate=str(path))
    backend = ann.service._clients["ann"].backend
    until(lambda: backend.get(job_id).status is JobStatus.RUNNING, "the thread is taken")
    yield path
    path.touch()
    until(lambda: backend.get(job_id).status.final, "the thread is free")
