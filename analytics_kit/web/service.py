"""What all requests share: a client for each namespace, the catalogue of studies, and how many may wait."""

from __future__ import annotations

import threading

from flask import g, request

from analytics_kit.client import Client
from analytics_kit.errors import SettingsError
from analytics_kit.job import Job, deadline_of, left_until
from analytics_kit.model import JobInfo
from analytics_kit.settings import Settings
from analytics_kit.web.auth import Keys
from analytics_kit.web.study_catalogue import Catalogue
from analytics_kit.web.session import Asker, Sessions
from analytics_kit.web.settings import ServerSettings

LOOK_S = 1.0
"""Who waits for a job looks this often whether the server is about to end."""


class Service:
    """Safe to use from threads. Nothing is connected before the first request that needs it.

    Raises SettingsError where a token is required and none is set, and for settings that name a server.
    """

    def __init__(self, settings: ServerSettings) -> None:
        if settings.backend == "http":
            raise SettingsError(
                "A server can't hand its work to another one.", hint="Unset ANALYTICS_KIT_BACKEND for the server."
            )
        self.settings = settings
        self.keys = Keys("" if settings.token is None else settings.token.get_secret_value(), settings.namespace)
        if settings.require_token and not len(self.keys):
            raise SettingsError(
                "The HTTP API needs a token.",
                hint="Set ANALYTICS_KIT_TOKEN; `analytics-kit serve` makes one where none is set.",
            )
        self.sessions = Sessions(self.keys)
        self._clients: dict[str, Client] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._waiting = threading.BoundedSemaphore(settings.waiting_limit)

    def asker(self) -> Asker | None:
        """Who asks; None for nobody."""
        if not self.settings.require_token:
            return self.sessions.by_token(self.settings.namespace)
        namespace = self.keys.namespace_of(request.headers.get("Authorization"))
        return self.sessions.by_cookie() if namespace is None else self.sessions.by_token(namespace)

    @property
    def client(self) -> Client:
        """The client of who asks."""
        namespace: str = g.analytics_kit_asker.namespace
        with self._lock:
            if namespace not in self._clients:
                known = {name: getattr(self.settings, name) for name in Settings.model_fields}
                self._clients[namespace] = Client(**(known | {"namespace": namespace, "token": None}))
            return self._clients[namespace]

    @property
    def studies(self) -> Catalogue:
        """The studies of who asks."""
        return Catalogue(self.client, self.settings.data)

    def waited(self, job: Job) -> JobInfo:
        """The job once it has ended, or as it is when the time to answer is over or too many wait already."""
        info = job.info()
        if info.status.final or not self._waiting.acquire(blocking=False):
            return info
        deadline = deadline_of(self.settings.answer_limit_s)
        try:
            while not (info.status.final or self._stopping.is_set() or left_until(deadline) == 0):
                for info in job.follow(left_until(deadline, LOOK_S)):  # noqa: B007  the last one counts
                    pass
        finally:
            self._waiting.release()
        return info

    def stop(self) -> None:
        """Answer those who wait."""
        self._stopping.set()

    def close(self) -> None:
        """Let go of connections; jobs on a queue go on."""
        with self._lock:
            for client in self._clients.values():
                client.close()
            self._clients.clear()
