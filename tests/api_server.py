"""The HTTP server as a process that tests start, kill and start again at the same address."""

import os
import re
import socket
import subprocess
import sys

import psutil

from tests.processes import end, until

TOKENS = {"ann": "ann-0123456789abcdef", "bob": "bob-0123456789abcdef"}
SERVE = "from analytics_kit.cli import main; main()"


class ApiServer:
    """One server, which ends with the `with` block. Its home, its studies and its log are in `folder`.

    `program` is what Python runs; `environment` holds the settings.
    """

    def __init__(self, folder, program=SERVE, **environment):
        self.folder, self.process, self._program = folder, None, program
        (folder / "data").mkdir(parents=True, exist_ok=True)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        lines = "\n".join(f"{name}: {token}" for name, token in TOKENS.items())
        local = {"ANALYTICS_KIT_BACKEND": "local", "ANALYTICS_KIT_HOME": str(folder / "home")}
        self._environment = os.environ | local | {"ANALYTICS_KIT_TOKEN": lines} | environment

    def start(self):
        """Start it and wait until it answers."""
        command = [sys.executable, "-W", "error", "-c", self._program, "serve", "--data", str(self.folder / "data")]
        with (self.folder / "log").open("a") as log:
            log_start = log.tell()
            self.process = subprocess.Popen(
                [*command, "--port", str(self.port)],
                env=self._environment, stdout=log, stderr=log, cwd=self.folder,
            )  # fmt: skip
        try:
            until(lambda: self._serves(log_start), "it serves")
        except BaseException:
            end(self.process)
            raise
        return self

    def log_text(self):
        return (self.folder / "log").read_text()

    def kill(self):
        """Kill it and its serving process."""
        (serving,) = psutil.Process(self.process.pid).children()
        for process in (self.process, serving):
            process.kill()
            process.wait()
        until(self._is_free, "its port is free")

    def _serves(self, log_start):
        assert self.process.poll() is None, self.log_text()
        return re.search(r"Serving http", self.log_text()[log_start:])

    def _is_free(self):
        try:
            socket.create_server(("127.0.0.1", self.port)).close()
        except OSError:
            return False
        return True

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        if self.process is not None:
            end(self.process)
