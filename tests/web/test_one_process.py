"""Several processes of a server do not each run jobs of their own."""

import subprocess
import sys

import pytest
from flask import Flask

from analytics_kit.errors import SettingsError
from analytics_kit.web.app import create_blueprint
from analytics_kit.web.one_process import process_count
from analytics_kit.web.service import Service
from analytics_kit.web.settings import ServerSettings

TOKEN = "0123456789abcdef"


@pytest.fixture
def settings(tmp_path):
    return ServerSettings.of("local", token=TOKEN, home=tmp_path)


@pytest.mark.parametrize("text", ["", "1", "many"])
def test_one_process_is_assumed_unless_more_are_known(monkeypatch, settings, text):
    monkeypatch.setenv("WEB_CONCURRENCY", text)
    assert process_count() == 1
    Service(settings).close()


def test_service_of_the_local_backend_in_several_processes_does_not_start(monkeypatch, settings):
    monkeypatch.setenv("WEB_CONCURRENCY", "3")
    with pytest.raises(SettingsError, match="other processes of the server can't find them; this one is to have 3"):
        Service(settings)
    Service(settings.model_copy(update={"backend": "embedded"})).close()


def test_gunicorn_with_several_workers_does_not_start(tmp_path):
    (tmp_path / "platform_app.py").write_text(
        "from analytics_kit.web.app import create_app\n"
        "from analytics_kit.web.settings import ServerSettings\n"
        f"app = create_app(ServerSettings.of('local', token={TOKEN!r}, home={str(tmp_path)!r}))\n"
    )
    command = [sys.executable, "-m", "gunicorn", "--preload", "-w", "3", "-b", "127.0.0.1:0", "platform_app:app"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode != 0
    assert "this one is to have 3" in run.stderr


def test_request_to_one_of_several_processes_is_refused(settings):
    """As where `auto` has come to the local backend after the start."""
    app, service = Flask("platform"), Service(settings)
    app.register_blueprint(create_blueprint(service), url_prefix="/x")

    def get(several):
        environ = {"wsgi.multiprocess": several}
        return app.test_client().get(
            "/x/jobs", headers={"Authorization": f"Bearer {TOKEN}"}, environ_overrides=environ
        )

    assert get(False).status_code == 200
    assert get(True).status_code == 503
    assert "one process and several threads" in get(True).text
    service.close()
