"""The README is true: its example, its walk-through with curl, its settings and its pictures."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from analytics_kit.backends.embedded import backend as embedded
from analytics_kit.settings import Settings
from analytics_kit.web.settings import ServerSettings

README = Path(__file__).parents[1] / "README.md"
EXAMPLE = re.compile(r"<!-- example -->\n```python\n(.*?)```\n<!-- output -->\n```text\n(.*?)```", re.DOTALL)

CURL = re.compile(r"<!-- curl -->\n```sh\n(.*?)```", re.DOTALL)


@pytest.fixture
def home(tmp_path):
    """A home whose embedded broker is stopped after the test."""
    yield tmp_path / "home"
    embedded.stop(Settings.of(home=tmp_path / "home"))


def test_reliability_table_names_existing_tests():
    text = (README.parent / "docs" / "reliability.md").read_text()
    tests = README.parent / "tests"
    named = re.findall(r"`([\w/]*test_\w+\.py)(?:::(\w+))?`", text)
    assert len(named) > 20
    for path, name in named:
        found = list(tests.rglob(path))
        assert found, path
        assert name in found[0].read_text(), f"{path}::{name}"


def test_readme_lists_every_setting():
    text = README.read_text()
    for name in (Settings.model_fields | ServerSettings.model_fields).keys() - {"require_token"}:
        variable = name.upper() if name.startswith("redis_") else f"ANALYTICS_KIT_{name.upper()}"
        assert f"{variable}" in text, variable


def test_pictures_exist_and_are_small():
    pictures = re.findall(r"!\[(.+?)\]\((.+?)\)", README.read_text())
    assert len(pictures) == 2
    for _, path in pictures:
        picture = (README.parent / path).read_bytes()
        assert picture.startswith(b"\x89PNG")
        assert len(picture) < 60_000


def test_curl_walk_through_runs_and_gives_tables(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    script = CURL.search(README.read_text())[1].replace("8765", port)
    script = script.replace(
        "serve --data studies &", f"serve --data studies --port {port} >log 2>&1 &\ntrap 'kill $!' EXIT"
    )
    known = {"ANALYTICS_KIT_HOME": str(tmp_path / "home"), "ANALYTICS_KIT_BACKEND": "local"}
    known["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    run = subprocess.run(
        [shutil.which("bash"), "-euo", "pipefail", "-c", script],
        cwd=tmp_path, env=os.environ | known, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr + run.stdout + (tmp_path / "log").read_text()
    assert json.loads((tmp_path / "study-7.json").read_text())["status"] == "completed"
    assert len(pd.read_parquet(tmp_path / "movement.parquet")) > 1000
    assert "Baseline,48," in run.stdout
    assert '"study_id":"mine"' in run.stdout
    assert "127.0.0.1" in (tmp_path / "log").read_text()


def test_example_prints_what_the_readme_shows(tmp_path, home):
    code, output = EXAMPLE.search(README.read_text()).groups()
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("REDIS_", "ANALYTICS_KIT_"))
    }
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path, env=inherited | {"ANALYTICS_KIT_HOME": str(home)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (run.stderr, run.returncode) == ("", 0)
    assert run.stdout == output
