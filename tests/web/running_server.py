"""The server as a process of its own."""

import http.client
import json
import os
import re
import subprocess
import sys
from contextlib import contextmanager
from types import SimpleNamespace

from tests.processes import end, until

TOKEN = "one-0123456789abcdef"
API = "/api/analytics"
SERVE = "from analytics_kit.cli import main; main()"


class RunningServer:
    """A running server: its address, its token, its output."""

    def __init__(self, process, folder):
        self.process, self.folder = process, folder
        address = until(lambda: re.search(r"Serving http://(\S+?):(\d+)/", self.stderr_text()), "it serves")
        self.host, self.port = address[1], int(address[2])
        generated = re.search(r"Token: (\S+)", self.stderr_text())
        self.token = generated[1] if generated else TOKEN
        self.headers = {"Authorization": f"Bearer {self.token}"}

    def stderr_text(self):
        assert self.process.poll() is None or self.process.returncode == 0, (self.folder / "err").read_text()
        return (self.folder / "err").read_text()

    def access_log(self):
        return (self.folder / "out").read_text()

    def request(self, path, method="GET", body=None, **headers):
        """Status, headers and JSON of a response; its bytes if it is not JSON."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        all_headers = self.headers | {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, f"{API}{path}", body=body, headers=all_headers)
        response = connection.getresponse()
        text = response.read()
        connection.close()
        is_json = text and response.headers.get_content_type() == "application/json"
        return SimpleNamespace(
            status=response.status, headers=response.headers, json=json.loads(text) if is_json else text
        )


@contextmanager
def running_servers(folder, data):
    """Yield start(*words, program=SERVE, **environment) → a RunningServer; end all at the end."""
    started = []

    def start(*words, program=SERVE, **environment):
        own = folder / str(len(started))
        own.mkdir()
        local = {"ANALYTICS_KIT_BACKEND": "local", "ANALYTICS_KIT_HOME": str(folder / "home")}
        arguments = ["serve", "--data", str(data), "--port", "0", *words]
        with (own / "out").open("w") as out, (own / "err").open("w") as err:
            process = subprocess.Popen(
                [sys.executable, "-W", "error", "-c", program, *arguments],
                env=os.environ | local | environment, stdout=out, stderr=err, cwd=own,
            )  # fmt: skip
        started.append(process)
        return RunningServer(process, own)

    try:
        yield start
    finally:
        for process in started:
            end(process)
