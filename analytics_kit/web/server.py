"""Run the API under gunicorn: settings, address, access log, start and stop."""

from __future__ import annotations

import resource
import secrets
import sys
import threading
from contextlib import suppress
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
from analytics_kit.web import URL_PREFIX
from analytics_kit.web.app import APP_NAME, create_app, is_loopback
from analytics_kit.web.connections import FIELD_LIMIT_BYTES, HEAD_LIMIT_S, LINE_LIMIT_BYTES, ConnectionWorker
from analytics_kit.web.routes.page import LIVE_QUERY
from analytics_kit.web.service import Service
from analytics_kit.web.settings import ServerSettings
from analytics_kit.web.wsgi_bridge import WsgiBridge

THREADS = 16
"""Requests that are worked on at a time."""
TRANSFERS = 32
"""Large bodies that are received at a time, and also tables that are sent, in addition to those requests."""
CONNECTIONS = 1 << 16
"""Connections that are open at a time, where the system allows so many."""
TIDY_INTERVAL_S = 600
"""Uploads that broke off are looked for this often, and at the start."""
GRACEFUL_STOP_S = 30
"""Time for running requests to finish once the server has received the signal to stop."""
HANG_LIMIT_S = 300
"""The serving process is restarted when its main thread has not responded for this long."""
ACCESS_LOG_FORMAT = '%(h)s %(t)s "%(m)s %(U)s" %(s)s %(B)s bytes %(M)s ms'
"""Without the query, which may name a participant, and without headers, which may hold the token."""


def load_settings(
    data: str | None, token_file: Path | None, without_token: bool, host: str
) -> tuple[ServerSettings, bool]:
    """Return the settings to serve with, and whether a token was generated.

    Parameters
    ----------
    data : str, optional
        Folder or fsspec URL of the studies, in place of `ANALYTICS_KIT_DATA`.
    token_file : Path, optional
        Text file with the tokens, in place of `ANALYTICS_KIT_TOKEN`.
    without_token : bool
        Require no token.
    host : str
        The address to listen on.

    Raises
    ------
    SettingsError
        The studies or the tokens can't be read, or a network address would be served without a token.
    """
    overrides: dict[str, Any] = {} if data is None else {"data": data}
    if token_file is not None:
        overrides["token"] = _read_tokens(token_file)
    if without_token:
        overrides["require_token"] = False
    settings = ServerSettings.of(**overrides)
    if settings.data is not None:
        _require_folder(settings.data)
    if not settings.require_token:
        if not is_loopback(host):
            raise SettingsError(
                f"{host} can be reached from other machines; without a token only this machine can be served.",
                hint="Leave out --no-token, or use --host 127.0.0.1.",
            )
        return settings, False
    if settings.token is None:
        return settings.model_copy(update={"token": SecretStr(secrets.token_urlsafe(32))}), True
    return settings, False


def serve(settings: ServerSettings, host: str, port: int, show_token: bool) -> None:
    """Serve until SIGTERM or SIGINT. Port 0 stands for any free one. Raises SettingsError."""
    app = create_app(settings)
    _allow_connections()
    token = settings.token.get_secret_value() if show_token and settings.token is not None else None
    _GunicornServer(app, f"[{host}]:{port}" if ":" in host else f"{host}:{port}", token).run()


class _AccessLogger(Logger):  # type: ignore[misc]  # it has no types
    """Log one request per line, with the path quoted. Successful polls of the page are left out."""

    def access(self, response: Any, request: Any, environ: dict[str, str], duration: timedelta) -> None:
        if not (response.status == 200 and LIVE_QUERY in environ["QUERY_STRING"]):
            super().access(response, request, environ, duration)

    def atoms(self, *request: Any) -> dict[str, Any]:
        atoms: dict[str, Any] = super().atoms(*request)
        return atoms | {"U": quote(atoms["U"] or "")}


class _GunicornServer(BaseApplication):  # type: ignore[misc]  # it has no types
    """Serve with one process, since jobs of the local backend live in it; an arbiter supervises it."""

    def __init__(self, app: Flask, address: str, token: str | None) -> None:
        self._app, self._address, self._token = app, address, token
        super().__init__()

    def load_config(self) -> None:
        config = {
            "bind": self._address,
            "workers": 1,
            "worker_class": ConnectionWorker,
            "asgi_loop": "asyncio",
            "asgi_lifespan": "off",
            "limit_request_line": LINE_LIMIT_BYTES,
            "limit_request_field_size": FIELD_LIMIT_BYTES,
            "timeout": HANG_LIMIT_S,
            "graceful_timeout": GRACEFUL_STOP_S,
            "keepalive": HEAD_LIMIT_S,
            "accesslog": "-",
            "access_log_format": ACCESS_LOG_FORMAT,
            "logger_class": _AccessLogger,
            "loglevel": "warning",
            "forwarded_allow_ips": "",  # ProxyFix evaluates the headers of trusted proxies
            "control_socket_disable": True,
            "post_worker_init": self._after_worker_start,
            "worker_exit": self._after_worker_exit,
        }
        for name, value in config.items():
            if name in self.cfg.settings:  # not all versions have a control socket
                self.cfg.set(name, value)

    def load(self) -> WsgiBridge:
        return WsgiBridge(self._app, THREADS, TRANSFERS, TRANSFERS)

    def on_stop(self) -> None:
        """Let waiting requests be answered, which would otherwise outlast the graceful stop."""
        self._service.stop()

    @property
    def _service(self) -> Service:
        service: Service = self._app.extensions[APP_NAME]
        return service

    def _after_worker_start(self, worker: Any) -> None:
        """Print the address only now: the socket accepts requests earlier, but SIGTERM is handled from here on."""
        threading.Thread(target=self._service.tidy_until_stopped, args=[TIDY_INTERVAL_S], daemon=True).start()
        if worker.age == 1:  # not after a restart
            self._print_address(worker.sockets[0])

    def _print_address(self, listener: Any) -> None:
        host, port = listener.sock.getsockname()[:2]
        url = f"http://{f'[{host}]' if ':' in host else host}:{port}{URL_PREFIX}"
        lines = [f"Serving {url}/"]
        if self._token is not None:
            lines += [f"Token: {self._token}", "(generated for this run; set ANALYTICS_KIT_TOKEN to choose one)"]
        sys.stderr.write("\n".join([*lines, ""]))  # in one write, so that a reader of the first line gets all of them
        sys.stderr.flush()

    def _after_worker_exit(self, server: Any, worker: Any) -> None:
        self._service.close()


def _allow_connections() -> None:
    """Raise the limit of open files, each connection being one, as far as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS if hard == resource.RLIM_INFINITY else min(CONNECTIONS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _read_tokens(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"The tokens in {path} can't be read.", hint="Name a text file.") from error


def _require_folder(data: str) -> None:
    try:
        files, root = fsspec.core.url_to_fs(data)
        is_folder = files.isdir(root)
    except (ImportError, ValueError, OSError) as error:
        raise SettingsError("The folder of studies can't be opened.", hint="Check --data.") from error
    if not is_folder:
        raise SettingsError(f"There is no folder {root}.", hint="Check --data (ANALYTICS_KIT_DATA).")
