"""Start JupyterLab or Notebook with folders of its own, and end everything it started."""

import json
import os
import secrets
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from analytics_kit.backends.embedded import backend as embedded
from analytics_kit.settings import Settings
from tests.processes import end, until

ROOT = Path(__file__).parents[2]
LIMIT_S = 60
LOG_TAIL_LINES = 60
KERNEL_STARTUP = """from analytics_kit import client
client.WORKER_TASKS = "tests.browser.notebook_fixtures"
"""
"""The broker that a kernel starts has workers that run the steps of the tests, too."""
REMOVED_PREFIXES = ("ANALYTICS_KIT_", "REDIS_", "PLOTLY_", "JUPYTERLAB_")
SETTINGS = {
    "apputils-extension/notification": {"checkForUpdates": False, "doNotDisturbMode": True, "fetchNews": "false"},
    "docmanager-extension/plugin": {"autosave": False},
}
"""Of JupyterLab and Notebook: no request to the internet, no pop-up, no automatic saving."""


class Lab:
    """A server, the kernels of its notebooks, and the embedded broker of its home.

    Two servers that start at once may choose the same port. So each gets its port from the system, and has a token of
    its own, so that tests whose server lost the port do not go on with the other one.

    `app` is "lab" or "notebook". A server with the `data` folder of another one trusts the notebooks that ran
    there. Its kernels get `environment` besides the environment of the tests.
    """

    def __init__(self, folder: Path, app: str = "lab", data: Path | None = None, **environment: str) -> None:
        self.folder, self.app = folder, app
        self.notebooks = folder / "notebooks"
        self.data = data or folder / "data"
        self.home = folder / "home"
        self.url, self.token = "", secrets.token_hex(8)
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Lab":
        for path in (self.notebooks, self.data, *(self.folder / name for name in ("config", "runtime", "tmp"))):
            path.mkdir(parents=True, exist_ok=True)
        self._configure()
        module = {"lab": "jupyterlab", "notebook": "notebook"}[self.app]
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module], cwd=self.notebooks, env=self._variables(), stdout=log, stderr=log
            )
        try:
            until(self._responds, f"{self.app} responds", LIMIT_S)
        except BaseException as error:
            error.add_note(self.log_tail())
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        end(self._process)  # with its kernels
        embedded.stop(Settings.of(home=self.home))

    def log_tail(self) -> str:
        """The last lines of its log, and whether it is still running."""
        code = None if self._process is None else self._process.poll()
        state = "running" if code is None else f"ended with {code}"
        log = self.folder / "log"
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        return "\n".join([*lines[-LOG_TAIL_LINES:], f"({state})"])

    def address(self, name: str) -> str:
        """The URL of a notebook, with an empty workspace."""
        return f"{self.url}lab/tree/{name}?reset" if self.app == "lab" else f"{self.url}notebooks/{name}"

    def request_api(self, path: str, method: str = "GET") -> object:
        """Send a request to the server's API and return its JSON."""
        request = urllib.request.Request(  # noqa: S310  to our own server
            f"{self.url}api/{path}", method=method, headers={"Authorization": f"token {self.token}"}
        )
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310
            return json.loads(response.read() or b"null")

    def end_kernels(self) -> None:
        """End the kernels of all notebooks; those of a server that has ended are gone with it."""
        assert self._process is not None
        if self._process.poll() is not None:
            return
        for session in self.request_api("sessions"):
            self.request_api(f"sessions/{session['id']}", "DELETE")

    def _responds(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"{self.app} has ended"
        for path in (self.folder / "runtime").glob("jpserver-*.json"):
            try:
                self.url = json.loads(path.read_text())["url"]
                self.request_api("status")
            except (urllib.error.URLError, ConnectionError, json.JSONDecodeError):
                continue
            return True
        return False

    def _configure(self) -> None:
        server = {
            "ip": "127.0.0.1",
            "port": 0,
            "open_browser": False,
            "allow_root": True,
            "root_dir": str(self.notebooks),
        }
        config = {"ServerApp": server, "LabApp": {"expose_app_in_browser": True}}
        config["JupyterNotebookApp"] = config["LabApp"]
        for name in ("jupyter_server_config", "jupyter_lab_config", "jupyter_notebook_config"):
            (self.folder / "config" / f"{name}.json").write_text(json.dumps(config))
        startup = self.folder / "ipython" / "profile_default" / "startup" / "steps.py"
        startup.parent.mkdir(parents=True, exist_ok=True)
        startup.write_text(KERNEL_STARTUP)
        for name, values in SETTINGS.items():
            path = self.folder / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(values))

    def _variables(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(REMOVED_PREFIXES)}
        folders = {
            "JUPYTER_CONFIG_DIR": self.folder / "config",
            "JUPYTER_DATA_DIR": self.data,
            "JUPYTER_RUNTIME_DIR": self.folder / "runtime",
            "JUPYTERLAB_SETTINGS_DIR": self.folder / "settings",
            "JUPYTERLAB_WORKSPACES_DIR": self.folder / "workspaces",
            "IPYTHONDIR": self.folder / "ipython",
            "ANALYTICS_KIT_HOME": self.home,
            "TMPDIR": self.folder / "tmp",  # else the home would be a temporary one, and its broker end with a kernel
            "PYTHONPATH": ROOT,
        }
        settings = {"JUPYTER_TOKEN": self.token, "ANALYTICS_KIT_IDLE_S": "60", "ANALYTICS_KIT_WORKERS": "1"}
        return inherited | {name: str(path) for name, path in folders.items()} | settings | self._environment
