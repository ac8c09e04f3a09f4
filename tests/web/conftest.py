"""The HTTP API in this process, on the local backend, and clients of it."""

import zipfile
from contextlib import ExitStack

import pytest

import analytics_kit as ak
from analytics_kit.model import JobStatus
from analytics_kit.web.app import APP_NAME, create_app
from analytics_kit.web.settings import ServerSettings
from tests.processes import until
from tests.web.api_client import TOKENS, ApiClient


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
    (folder / "jobs.zip").write_bytes(b"a reserved id")
    return folder


@pytest.fixture
def settings(tmp_path, data):
    """settings(**changes) → settings of a server with two tokens."""

    def make(**changes):
        lines = "\n".join(f"{name}: {token}" for name, token in TOKENS.items())
        defaults = {"home": tmp_path / "home", "data": str(data), "token": lines, "answer_limit_s": 30}
        return ServerSettings.of(**(defaults | {"backend": "local"} | changes))

    return make


@pytest.fixture
def app(settings):
    app = create_app(settings())
    yield app
    app.extensions[APP_NAME].close()


@pytest.fixture
def client_of_server(settings):
    """client_of_server(**settings) → ann at a server with these settings."""
    with ExitStack() as stack:

        def make(**changes):
            app = create_app(settings(**changes))
            stack.callback(app.extensions[APP_NAME].close)
            return ApiClient(app, "ann")

        yield make


@pytest.fixture
def ann(app):
    return ApiClient(app, "ann")


@pytest.fixture
def bob(app):
    return ApiClient(app, "bob")


@pytest.fixture
def anonymous(app):
    """A client without a token."""
    return ApiClient(app)


@pytest.fixture
def gate(tmp_path, ann):
    """Occupy the one thread of ann's backend until this file exists; at the end of the test it does in any case."""
    path = tmp_path / "gate"
    job_id = ann.submit_step("gated", gate=str(path))
    until(lambda: ann.backend.get(job_id).status is JobStatus.RUNNING, "the thread is occupied")
    yield path
    path.touch()
    until(lambda: ann.backend.get(job_id).status.final, "the thread is free")
