"""Hold what all requests share: settings, tokens, one client per namespace, and the limit of waiting requests."""

from __future__ import annotations

import logging
import threading

from flask import g, request

from analytics_kit.client import Client
from analytics_kit.errors import SettingsError, StoreError
from analytics_kit.job import Job, deadline_of, left_until
from analytics_kit.model import JobInfo
from analytics_kit.process_fork import renew_after_fork
from analytics_kit.settings import Settings
from analytics_kit.study.store.retention import tidy_uploads
from analytics_kit.study.store.store import Store
from analytics_kit.web.auth import TokenStore
from analytics_kit.web.one_process import check_request, require_one_process
from analytics_kit.web.session import Principal, SessionCookies
from analytics_kit.web.settings import ServerSettings
from analytics_kit.web.study_catalogue import StudyCatalogue

logger = logging.getLogger(__name__)
STOP_CHECK_S = 1.0
"""Seconds after which a waiting request checks again whether the server stops."""


class Service:
    """State of the HTTP API, safe to use from several threads. A client connects when a request first needs it.

    Parameters
    ----------
    settings : ServerSettings

    Raises
    ------
    SettingsError
        A token is required and none is set, the settings name another server as backend, or the local backend while
        the server is to have several processes.

    See Also
    --------
    analytics_kit.web.app.create_blueprint : The routes that use it.

    Examples
    --------
    >>> service = Service(ServerSettings.of("local", token="0123456789abcdef"))
    >>> service.close()
    """

    def __init__(self, settings: ServerSettings) -> None:
        if settings.backend == "http":
            raise SettingsError(
                "A server can't use another server as its backend.",
                hint="Unset ANALYTICS_KIT_BACKEND for the server.",
            )
        require_one_process(settings)
        self.settings = settings
        text = "" if settings.token is None else settings.token.get_secret_value()
        self.tokens = TokenStore(text, settings.namespace)
        if settings.require_token and not len(self.tokens):
            raise SettingsError(
                "The HTTP API needs a token.",
                hint="Set ANALYTICS_KIT_TOKEN; `analytics-kit serve` makes one if none is set.",
            )
        self.sessions = SessionCookies(self.tokens)
        self._clients: dict[str, Client] = {}
        self._renew()
        renew_after_fork(self._renew)

    def _renew(self) -> None:
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._waiting = threading.BoundedSemaphore(self.settings.waiting_limit)

    def authenticate(self) -> Principal | None:
        """Return the sender of the current request; None if it can't be identified."""
        if not self.settings.require_token:
            return self.sessions.principal_of_namespace(self.settings.namespace)
        namespace = self.tokens.namespace_of(request.headers.get("Authorization"))
        if namespace is None:
            return self.sessions.principal_of_cookie()
        return self.sessions.principal_of_namespace(namespace)

    @property
    def client(self) -> Client:
        """The client for the namespace of the current request.

        Raises ServiceUnavailable where jobs would run in one of several processes.
        """
        client = self.client_for(g.analytics_kit_principal.namespace)
        check_request(request.environ, client)
        return client

    def client_for(self, namespace: str) -> Client:
        """Return the client that all requests of a namespace share."""
        with self._lock:
            if namespace not in self._clients:
                values = {name: getattr(self.settings, name) for name in Settings.model_fields}
                self._clients[namespace] = Client(**(values | {"namespace": namespace, "token": None}))
            return self._clients[namespace]

    @property
    def studies(self) -> StudyCatalogue:
        """The studies in the namespace of the current request."""
        return StudyCatalogue(self.client, self.settings.data)

    def wait_for(self, job: Job) -> JobInfo:
        """Wait for a job to end, and return its last known state.

        Returns early after `answer_limit_s`, when the server stops, and at once if too many requests wait already.
        """
        info = job.info()
        if info.status.final or not self._waiting.acquire(blocking=False):
            return info
        deadline = deadline_of(self.settings.answer_limit_s)
        try:
            while not (info.status.final or self._stopping.is_set() or left_until(deadline) == 0):
                for info in job.follow(left_until(deadline, STOP_CHECK_S)):  # noqa: B007  only the last one counts
                    pass
        finally:
            self._waiting.release()
        return info

    def tidy_until_stopped(self, interval_s: float) -> None:
        """Remove uploads that broke off, and store equal ones once, now and after each interval. It blocks."""
        while True:
            try:
                store = Store.of(self.settings)
                if store.exists():
                    tidy_uploads(store, store.now_s())
            except StoreError as error:
                logger.warning("Uploads could not be tidied: %s", error)
            if self._stopping.wait(interval_s):
                return

    def stop(self) -> None:
        """Let waiting requests be answered soon."""
        self._stopping.set()

    def close(self) -> None:
        """Close the connections; queued and running jobs of a queue go on."""
        with self._lock:
            for client in self._clients.values():
                client.close()
            self._clients.clear()
