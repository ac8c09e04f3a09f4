"""Upgrading while things run: what a study gives then is made by the new code, and says by which code it was made."""

import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager

import pytest

import analytics_kit as ak
from analytics_kit.backends.embedded import backend as embedded
from analytics_kit.code_version import PACKAGE
from analytics_kit.settings import Settings

LIMIT_S = 90
CLIENT = """
import json, sys
import analytics_kit as ak
from analytics_kit.backends.embedded.paths import broker_paths

client = ak.connect("embedded", workers=1)

def describe(job):
    result = job.result(90)
    return {
        "id": job.id, "key": job.info().result_key, "notice": job.info().notice, "log": job.log(),
        "length": result.trials["path_length_px"].sum(), "code": result.provenance["code"],
        "version": ak.__version__, "versions": client.health()["versions"],
        "supervisor": broker_paths(client.settings).owner_lock.read_text(),
    }

for line in sys.stdin:
    verb, *arguments = json.loads(line)
    job = client.get_job(*arguments) if verb == "get" else client.submit(*arguments, refresh=verb == "refresh")
    print(json.dumps(describe(job)), flush=True)
"""


class Process:
    """A process that submits, which goes on while the package is upgraded."""

    def __init__(self, process):
        self._process = process

    def ask(self, *command):
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the process has ended with an error"
        return json.loads(answer)


@pytest.fixture
def site(tmp_path):
    """A folder with a copy of the package, from which the processes of the test import it."""
    folder = tmp_path / "site"
    shutil.copytree(PACKAGE, folder / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture
def client(site, tmp_path):
    """client() → a context with a new `Process`; their broker is stopped afterwards."""
    home = tmp_path / "home"
    environment = os.environ | {"PYTHONPATH": str(site), "ANALYTICS_KIT_HOME": str(home)}

    @contextmanager
    def start():
        with subprocess.Popen(
            [sys.executable, "-c", CLIENT], env=environment, cwd=tmp_path, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        ) as process:  # fmt: skip
            try:
                yield Process(process)
            finally:
                process.stdin.close()
                process.wait(LIMIT_S)

    yield start
    embedded.stop(Settings.of(home=home))


def upgrade(site):
    """Install a version whose reader gives other numbers. It changes no kernel, so nothing is compiled."""
    for path, old, new in (
        ("__init__.py", f'__version__ = "{ak.__version__}"', '__version__ = "9.9.9"'),
        ("study/events/native/buffers.py", "[column[: self.rows] for", "[2 * column[: self.rows] for"),
    ):
        file = site / PACKAGE.name / path
        text = file.read_text()
        assert text.count(old) == 1
        file.write_text(text.replace(old, new))


@pytest.mark.timeout(240)
def test_results_and_workers_are_those_of_the_installed_version(site, client, tmp_path):
    study = str(ak.sample_study(tmp_path / "study.zip", participants=1, trials=1))
    with client() as old:
        before = old.ask("submit", study)
        assert old.ask("submit", study)["id"] == before["id"]
        upgrade(site)

        with client() as new:
            after = new.ask("submit", study)
            assert after["id"] != before["id"], "the old result is not joined"
            assert after["version"] == "9.9.9"
            assert after["length"] == pytest.approx(2 * before["length"], rel=1e-12)
            assert after["code"] != before["code"]
            assert after["notice"] == ""
            assert after["supervisor"] != before["supervisor"], "the broker was started anew"
            codes = {name: after["versions"][name] for name in ("client", "supervisor")}
            assert {code["version"] for code in (*codes.values(), *after["versions"]["workers"])} == {"9.9.9"}

            read = new.ask("get", before["id"])
            assert (read["length"], read["code"]) == (before["length"], before["code"]), "old results stay readable"
            assert new.ask("submit", study)["id"] == after["id"], "the new result is joined"

        joined = old.ask("submit", study)
        assert joined["id"] == before["id"], "a process that has loaded the old code goes on with its results"
        refreshed = old.ask("refresh", study)
        assert refreshed["code"] == after["code"], "a refresh never gives the work of old code"
        assert refreshed["length"] == after["length"]
        assert refreshed["key"] == after["key"], "it is stored under the key of the code that made it"
        assert f"Submitted by analytics_kit {ak.__version__}" in refreshed["notice"]
        assert "processed by analytics_kit 9.9.9" in refreshed["notice"]
        assert "taken over by analytics_kit 9.9.9" in refreshed["log"]
