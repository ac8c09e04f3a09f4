"""How do the tests start JupyterLab or Notebook with folders of its own, and end all that it started?"""

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
LAST_LINES = 60
FOREIGN = ("ANALYTICS_KIT_", "REDIS_", "PLOTLY_", "JUPYTERLAB_")
SETTINGS = {
    "apputils-extension/notification": {"checkForUpdates": False, "doNotDisturbMode": True, "fetchNews": "false"},
    "docmanager-extension/plugin": {"autosave": False},
}
"""Of JupyterLab and Notebook: nothing asks the internet, pops up, or is saved unless a test saves."""


class Lab:
    """A server, the kernels of its notebooks, and the embedded broker of its home.

    Two servers that start at once may choose one port. So each has a port from the system's, and a token of its own,
    lest tests whose server lost the port go on with the other one.

    `app` is "lab" or "notebook". A server with the `data` folder of another one trusts what was run there.
    `environment` is what its kernels find beside the tests' own.
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
        for path in (self.notebooks, self.data, self.folder / "config", self.folder / "runtime"):
            path.mkdir(parents=True, exist_ok=True)
        self._configure()
        module = {"lab": "jupyterlab", "notebook": "notebook"}[self.app]
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module], cwd=self.notebooks, env=self._variables(), stdout=log, stderr=log
            )
        try:
            until(self._answers, f"{self.app} answers", LIMIT_S)
        except BaseException as error:
            error.add_note(self.words())
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        end(self._process)  # with its kernels
        embedded.stop(Settings.of(home=self.home))

    def words(self) -> str:
        """The last lines of its log, and whether it is still there."""
        code = None if self._process is None else self._process.poll()
        state = "running" if code is None else f"ended with {code}"
        log = self.folder / "log"
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        return "\n".join([*lines[-LAST_LINES:], f"({state})"])

    def address(self, name: str) -> str:
        """Where a browser finds the notebook, with an empty workspace."""
        return f"{self.url}lab/tree/{name}?reset" if self.app == "lab" else f"{self.url}notebooks/{name}"

    def ask(self, path: str, method: str = "GET") -> object:
        """What the server's own interface answers."""
        request = urllib.request.Request(  # noqa: S310  to our own server
            f"{self.url}api/{path}", method=method, headers={"Authorization": f"token {self.token}"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return json.loads(answer.read() or b"null")

    def end_kernels(self) -> None:
        """End the kernels of all notebooks; a server that has ended took its own with it."""
        assert self._process is not None
        if self._process.poll() is not None:
            return
        for session in self.ask("sessions"):
            self.ask(f"sessions/{session['id']}", "DELETE")

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"{self.app} has ended"
        for path in (self.folder / "runtime").glob("jpserver-*.json"):
            try:
                self.url = json.loads(path.read_text())["url"]
                self.ask("status")
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
        for name, values in SETTINGS.items():
            path = self.folder / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(values))

    def _variables(self) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        folders = {
            "JUPYTER_CONFIG_DIR": self.folder / "config",
            "JUPYTER_DATA_DIR": self.data,
            "JUPYTER_RUNTIME_DIR": self.folder / "runtime",
            "JUPYTERLAB_SETTINGS_DIR": self.folder / "settings",
            "JUPYTERLAB_WORKSPACES_DIR": self.folder / "workspaces",
            "IPYTHONDIR": self.folder / "ipython",
            "ANALYTICS_KIT_HOME": self.home,
            "PYTHONPATH": ROOT,
        }
        more = {"JUPYTER_TOKEN": self.token, "ANALYTICS_KIT_IDLE_S": "60", "ANALYTICS_KIT_WORKERS": "1"}
        return own | {name: str(path) for name, path in folders.items()} | more | self._environment
