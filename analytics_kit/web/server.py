"""How does the API run under a production server: where it listens, who may ask, how it ends?"""

from __future__ import annotations

import secrets
import signal
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import fsspec
from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger
from pydantic import SecretStr

from analytics_kit.errors import SettingsError
from analytics_kit.web import PREFIX
from analytics_kit.web.app import NAME, create_app, is_loopback
from analytics_kit.web.routes.page import IS_POLL
from analytics_kit.web.service import Service
from analytics_kit.web.settings import ServerSettings

THREADS = 16
STOP_LIMIT_S = 30
"""Requests that run when the server is told to end have so long."""
HANG_LIMIT_S = 300
"""The process that serves is started anew when its main thread did nothing for so long."""
ACCESS = '%(h)s %(t)s "%(m)s %(U)s" %(s)s %(B)s bytes %(M)s ms'
"""No query, which may name a participant, and no header, which may hold the token."""


def configured(
    data: str | None, token_file: Path | None, open_to_all: bool, host: str
) -> tuple[ServerSettings, bool]:
    """The settings to serve by, and whether a token had to be made.

    Raises SettingsError where the studies or the tokens can't be read, and for an address of the network without a
    token.
    """
    given: dict[str, Any] = {} if data is None else {"data": data}
    if token_file is not None:
        given["token"] = _read(token_file)
    if open_to_all:
        given["require_token"] = False
    settings = ServerSettings.of(**given)
    if settings.data is not None:
        _require_folder(settings.data)
    if not settings.require_token:
        if not is_loopback(host):
            raise SettingsError(
                f"{host} can be reached from other machines; without a token only this one may be served.",
                hint="Leave out --no-token, or serve 127.0.0.1.",
            )
        return settings, False
    if settings.token is None:
        return settings.model_copy(update={"token": SecretStr(secrets.token_urlsafe(32))}), True
    return settings, False


def serve(settings: ServerSettings, host: str, port: int, show_token: bool) -> None:
    """Serve until SIGTERM or SIGINT. Port 0 is any that is free. Raises SettingsError."""
    app = create_app(settings)
    token = settings.token.get_secret_value() if show_token and settings.token is not None else None
    _Server(app, f"[{host}]:{port}" if ":" in host else f"{host}:{port}", token).run()


class _Log(Logger):  # type: ignore[misc]  # it has no types
    """A log in which a line is one request, whatever signs its path has. Pages that look for news are left out."""

    def access(self, response: Any, request: Any, environ: dict[str, str], took: timedelta) -> None:
        if not (response.status_code == 200 and IS_POLL in environ["QUERY_STRING"]):
            super().access(response, request, environ, took)

    def atoms(self, *of_a_request: Any) -> dict[str, Any]:
        found: dict[str, Any] = super().atoms(*of_a_request)
        return found | {"U": quote(found["U"] or "")}


class _Server(BaseApplication):  # type: ignore[misc]  # it has no types
    """One process that serves by threads, since jobs of the local backend live in it; another one looks after it."""

    def __init__(self, app: Flask, address: str, token: str | None) -> None:
        self._app, self._address, self._token = app, address, token
        super().__init__()

    def load_config(self) -> None:
        chosen = {
            "bind": self._address,
            "workers": 1,
            "worker_class": "gthread",
            "threads": THREADS,
            "timeout": HANG_LIMIT_S,
            "graceful_timeout": STOP_LIMIT_S,
            "keepalive": 15,
            "accesslog": "-",
            "access_log_format": ACCESS,
            "logger_class": _Log,
            "loglevel": "warning",
            "forwarded_allow_ips": "",  # ProxyFix reads what proxies say, where there are some
            "control_socket_disable": True,
            "post_worker_init": self._begin,
            "worker_exit": self._let_go,
        }
        for name, value in chosen.items():
            if name in self.cfg.settings:  # not all versions have a control socket
                self.cfg.set(name, value)

    def load(self) -> Flask:
        return self._app

    @property
    def _service(self) -> Service:
        found: Service = self._app.extensions[NAME]
        return found

    def _begin(self, worker: Any) -> None:
        """Only now a signal to end is heard; the listener alone takes requests before that."""
        self._hear_of_the_end()
        if worker.age == 1:  # not for one that was started anew
            self._say_ready(worker.sockets[0])

    def _say_ready(self, listener: Any) -> None:
        host, port = listener.sock.getsockname()[:2]
        url = f"http://{f'[{host}]' if ':' in host else host}:{port}{PREFIX}"
        lines = [f"Serving {url}/"]
        if self._token is not None:
            lines += [f"Token: {self._token}", "(made for this run; ANALYTICS_KIT_TOKEN sets one)"]
        sys.stderr.write("\n".join([*lines, ""]))  # at once: who waits for the first line may read the next
        sys.stderr.flush()

    def _hear_of_the_end(self) -> None:
        """Who waits for a job is answered when the server is told to end, not when the job ends."""
        before = signal.getsignal(signal.SIGTERM)

        def end(number: int, frame: Any) -> None:
            self._service.stop()
            if callable(before):
                before(number, frame)

        signal.signal(signal.SIGTERM, end)

    def _let_go(self, server: Any, worker: Any) -> None:
        self._service.close()


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"The tokens in {path} can't be read.", hint="Name a text file.") from error


def _require_folder(data: str) -> None:
    try:
        files, root = fsspec.core.url_to_fs(data)
        there = files.isdir(root)
    except (ImportError, ValueError, OSError) as error:
        raise SettingsError("The folder of studies can't be opened.", hint="Check --data.") from error
    if not there:
        raise SettingsError(f"There is no folder {root}.", hint="Check --data (ANALYTICS_KIT_DATA).")
