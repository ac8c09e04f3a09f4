"""The launcher of JupyterLab: the command that starts the server, its token, and its folder of studies."""

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
def _no_data_folder(monkeypatch):
    monkeypatch.delenv("ANALYTICS_KIT_DATA", raising=False)


def get(port, path, headers):
    """Status and body of a response; status 0 while nothing listens."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310  our own server
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, ""
    except urllib.error.URLError:
        return 0, ""


def test_the_entry_point_loads_the_configuration():
    (entry_point,) = PROJECT["entry-points"]["jupyter_serverproxy_servers"].items()
    assert entry_point[0] == launcher.ENTRY_POINT_NAME
    assert EntryPoint(*entry_point, "jupyter_serverproxy_servers").load() is launcher.server
    assert any(line.startswith("jupyter-server-proxy") for line in PROJECT["optional-dependencies"]["lab"])
    assert "server" in PROJECT["optional-dependencies"]["lab"][0], (
        "else the launcher would start a server that is not installed"
    )


def test_the_command_serves_users_of_jupyter_and_nobody_else(tmp_path, data, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secrets.py").write_text("raise RuntimeError('modules of the notebook folder must not be imported')")
    monkeypatch.setenv("ANALYTICS_KIT_DATA", str(data))
    config = launcher.server()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [word.format(port=port) for word in config["command"]]
    environment = {name: value.format(port=port) for name, value in config["environment"].items()}
    local = {"ANALYTICS_KIT_BACKEND": "local", "ANALYTICS_KIT_HOME": str(tmp_path / "home")}
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, env=os.environ | local | environment, stdout=log, stderr=log)
    try:
        header = config["request_headers_override"]
        prefix = {"X-Forwarded-Prefix": "/user/ann/analytics-kit"}
        until(
            lambda: get(port, "/api/analytics/health/live", {})[0] == 200,
            "the server responds",
            launcher.LAUNCH_LIMIT_S,
        )
        assert get(port, "/api/analytics/jobs", {})[0] == 401
        assert "ok" in get(port, "/api/analytics/studies", header)[1]
        page = get(port, "/api/analytics/", header)[1]
        assert "Jobs" in page
        assert "Sign out" not in page
        assert "/user/ann/analytics-kit/api/analytics/ok" in get(port, "/api/analytics/studies", header | prefix)[1]
    finally:
        end(process)
    token = header["Authorization"].removeprefix("Bearer ")
    assert len(token) >= 32
    assert token not in " ".join(command), "all users of the machine can see command lines"
    assert token not in (tmp_path / "log").read_text()


def test_each_start_of_jupyter_generates_a_token():
    first, second = (launcher.server()["environment"]["ANALYTICS_KIT_TOKEN"] for _ in range(2))
    assert first != second


def test_studies_are_in_the_notebook_folder_unless_another_is_configured(tmp_path, monkeypatch):
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


def test_the_configuration_loads_nothing_heavy_into_jupyter():
    heavy = {"redis", "rq", "flask", "polars", "pandas", "numba", "pyarrow"}
    code = f"import sys, analytics_kit.web.launcher as x; x.server(); print(sorted({heavy!r} & sys.modules.keys()))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_the_launcher_entry_has_a_path_and_an_icon():
    entry = launcher.server()["launcher_entry"]
    assert entry["path_info"] == "analytics-kit/api/analytics/"
    assert Path(entry["icon_path"]).read_text().startswith("<svg")
