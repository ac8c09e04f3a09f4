"""The launcher of JupyterLab: what starts the server, who gets in, and with which studies."""

import os
import socket
import subprocess
import sys
import tomllib
import urllib.error
import urllib.request
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from traitlets.config import Application, SingletonConfigurable

from analytics_kit.web import launcher
from tests.processes import end, until

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]


@pytest.fixture(autouse=True)
def _no_folder_is_named(monkeypatch):
    monkeypatch.delenv("ANALYTICS_KIT_DATA", raising=False)


def asked(port, path, headers):
    """Status and body of an answer; 0 where nobody answers yet."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310  our own server
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, ""
    except urllib.error.URLError:
        return 0, ""


def test_the_entry_point_leads_to_it():
    (found,) = PROJECT["entry-points"]["jupyter_serverproxy_servers"].items()
    assert found[0] == launcher.ENTRY_POINT_NAME
    assert EntryPoint(*found, "jupyter_serverproxy_servers").load() is launcher.server
    assert any(line.startswith("jupyter-server-proxy") for line in PROJECT["optional-dependencies"]["lab"])
    assert "server" in PROJECT["optional-dependencies"]["lab"][0], "the launcher would start what is not installed"


def test_the_command_serves_whom_jupyter_lets_in_and_nobody_else(tmp_path, data, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secrets.py").write_text("raise RuntimeError('a notebook folder is no place for modules')")
    monkeypatch.setenv("ANALYTICS_KIT_DATA", str(data))
    told = launcher.server()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [word.format(port=port) for word in told["command"]]
    environment = {name: value.format(port=port) for name, value in told["environment"].items()}
    known = {"ANALYTICS_KIT_BACKEND": "local", "ANALYTICS_KIT_HOME": str(tmp_path / "home")}
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, env=os.environ | known | environment, stdout=log, stderr=log)
    try:
        header = told["request_headers_override"]
        prefix = {"X-Forwarded-Prefix": "/user/ann/analytics-kit"}
        until(lambda: asked(port, "/api/analytics/health/live", {})[0] == 200, "it answers", launcher.LAUNCH_LIMIT_S)
        assert asked(port, "/api/analytics/jobs", {})[0] == 401
        assert "ok" in asked(port, "/api/analytics/studies", header)[1]
        page = asked(port, "/api/analytics/", header)[1]
        assert "Jobs" in page
        assert "Sign out" not in page
        assert "/user/ann/analytics-kit/api/analytics/ok" in asked(port, "/api/analytics/studies", header | prefix)[1]
    finally:
        end(process)
    token = header["Authorization"].removeprefix("Bearer ")
    assert len(token) >= 32
    assert token not in " ".join(command), "everybody on the machine sees command lines"
    assert token not in (tmp_path / "log").read_text()


def test_each_start_of_jupyter_has_a_token_of_its_own():
    first, second = (launcher.server()["environment"]["ANALYTICS_KIT_TOKEN"] for _ in range(2))
    assert first != second


def test_studies_are_those_of_the_notebooks_unless_a_folder_is_named(tmp_path, monkeypatch):
    class Jupyter(Application):
        root_dir = str(tmp_path / "{notebooks}")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(SingletonConfigurable, "_instance", None)
    monkeypatch.setattr(Application, "_instance", None)

    def data():
        return launcher.server()["environment"]["ANALYTICS_KIT_DATA"].format(port=1)

    assert data() == str(tmp_path)
    try:
        Jupyter.instance()
        assert data() == str(tmp_path / "{notebooks}")
    finally:
        Jupyter.clear_instance()
    monkeypatch.setenv("ANALYTICS_KIT_DATA", "s3://studies")
    assert data() == "s3://studies"


def test_jupyter_loads_nothing_heavy_for_it():
    heavy = {"redis", "rq", "flask", "polars", "pandas", "numba", "pyarrow"}
    code = f"import sys, analytics_kit.web.launcher as x; x.server(); print(sorted({heavy!r} & sys.modules.keys()))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_the_launcher_shows_a_title_and_a_picture():
    entry = launcher.server()["launcher_entry"]
    assert entry["path_info"] == "analytics-kit/api/analytics/"
    assert Path(entry["icon_path"]).read_text().startswith("<svg")
