"""How is a server asked that may be away: with the token, with patience, and with its errors made ours?"""

from __future__ import annotations

import ipaddress
import json
import os
import re
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Any, Protocol, cast
from urllib.parse import urlencode, urlsplit

import urllib3
from urllib3.exceptions import HTTPError, MaxRetryError, NameResolutionError, SSLError
from urllib3.exceptions import TimeoutError as LateError
from urllib3.util import Retry, Timeout

from analytics_kit.errors import BrokerUnavailableError, JobFailedError, SettingsError, rebuild

PREFIX = "/api/analytics"
QUICK = Retry(total=1, connect=0, read=1, redirect=0, status=0, other=0, respect_retry_after_header=False)
"""Once more, for a connection that went stale in the pool; never what must not be done twice."""
PATIENT = Retry(
    total=8, redirect=0, backoff_factor=0.5, backoff_max=8, status_forcelist=(502, 503, 504), raise_on_status=False,
)  # fmt: skip
"""For who would wait anyway: half a minute of a server that is away, or as long as it says in Retry-After."""
LIMITS = Timeout(connect=5, read=60)
LONG = Timeout(connect=5, read=600)
BLOCK_BYTES = 1 << 18
READ_TRIES = 3
TOKEN_HINT = "Give token=, or set ANALYTICS_KIT_TOKEN; who runs the server has it."  # noqa: S105  no token
AWAY_HINT = "It may be back soon; who runs it has its log."
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")

Fields = Sequence[tuple[str, object]]


class Body(Protocol):
    """What is sent, piece by piece."""

    def read(self, size: int, /) -> bytes:
        """The next piece."""


class Transport:
    """The way to one server. Safe to use from threads; the token is in nothing that it says.

    Raises SettingsError for a URL or token that can't be used. Whatever keeps the server from serving is a
    BrokerUnavailableError; other errors are those that the server tells.
    """

    def __init__(self, url: str, token: str | None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or "@" in parts.netloc:
            raise SettingsError(
                "The URL of the server can't be used.",
                hint='Write "https://HOST" or "https://HOST/PREFIX", and give the token as token=.',
            )
        if token is not None and not _TOKEN.fullmatch(token):
            raise SettingsError("The token is none that a server would know.", hint=TOKEN_HINT)
        self.name = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        self._base = self.name
        self._known = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._open()
        self._away: tuple[float, str] = (0.0, "")
        if token is not None and parts.scheme == "http" and not _is_loopback(parts.hostname):
            warnings.warn(
                f"The token goes to {self.name} unencrypted. Use https:// where others can listen on the way.",
                RuntimeWarning,
                stacklevel=2,
            )

    def _open(self) -> None:
        self._pid = os.getpid()
        self._connections = urllib3.PoolManager(maxsize=8, blocksize=BLOCK_BYTES, timeout=LIMITS, retries=QUICK)

    @property
    def _pool(self) -> urllib3.PoolManager:
        if self._pid != os.getpid():  # in a forked process: the connections are the parent's
            self._open()
        return self._connections

    def find(self) -> None:
        """Look where on the server the API is. The token is sent to nobody who does not say that it is one."""
        for base in (self.name, f"{self.name}{PREFIX}"):
            with self._translated():
                answer = self._pool.request("GET", f"{base}/health/live", redirect=False)
            if answer.status == 200 and _json(answer.data).get("live") is True:
                self._base = base
                return
        to = answer.headers.get("Location")
        raise BrokerUnavailableError(
            f"There is no analytics_kit server at {self.name}.",
            hint=f"It sends on to {to}; connect to that, if it is the server's." if to else "Check the URL.",
        )

    def ask(
        self,
        method: str,
        path: str,
        fields: Fields = (),
        body: Mapping[str, Any] | None = None,
        *,
        polite: bool = False,
        patient: bool = False,
        also: int = 200,
    ) -> dict[str, Any]:
        """What the server answers. A status `also` is an answer too.

        Parameters
        ----------
        polite : while the server has said to ask again later, don't, and raise what it said.
        patient : try again for a while.
        """
        if polite and time.monotonic() < self._away[0]:
            raise BrokerUnavailableError(self._away[1], hint=AWAY_HINT)
        with self._translated():
            answer = self._pool.request(
                method, self._url(path, fields), json=body, headers=self._headers(body is not None), redirect=False,
                retries=PATIENT if patient else QUICK,
            )  # fmt: skip
        return self._checked(answer, also)

    def send(self, path: str, fields: Fields, body: Body, size_bytes: int) -> dict[str, Any]:
        """Send what `body` gives, as it is read. Nothing of it is sent twice."""
        headers = self._known | {"Content-Type": "application/zip", "Content-Length": str(size_bytes)}
        with self._translated():
            answer = self._pool.request(
                "POST", self._url(path, fields), body=cast(IO[bytes], body), headers=headers, retries=False,
                redirect=False, timeout=LONG,
            )  # fmt: skip
        return self._checked(answer)

    @contextmanager
    def read(self, path: str, fields: Fields) -> Iterator[IO[bytes]]:
        """A file of the server's, through one on this disk without a name."""
        with tempfile.TemporaryFile() as file:
            for left in range(READ_TRIES - 1, -1, -1):
                with self._translated():
                    answer = self._pool.request(
                        "GET", self._url(path, fields), headers=self._known, retries=PATIENT, redirect=False,
                        preload_content=False,
                    )  # fmt: skip
                if answer.status != 200:
                    with self._translated():
                        answer.read(cache_content=True)
                    self._checked(answer)
                try:
                    with self._translated():
                        for block in answer.stream(BLOCK_BYTES):
                            file.write(block)
                    break
                except BrokerUnavailableError:
                    if not left:
                        raise
                    file.seek(0)
                    file.truncate()
                finally:
                    answer.release_conn()
            file.seek(0)
            yield file

    def close(self) -> None:
        """Let go of the connections."""
        self._pool.clear()

    def __repr__(self) -> str:
        return f"<Transport to {self.name}>"

    def _headers(self, has_body: bool) -> dict[str, str]:
        return self._known | ({"Content-Type": "application/json"} if has_body else {})

    def _url(self, path: str, fields: Fields) -> str:
        return f"{self._base}{path}?{urlencode(fields)}" if fields else f"{self._base}{path}"

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except HTTPError as error:
            raise BrokerUnavailableError(
                f"The server at {self.name} can't be used: {_words(error)}.",
                hint="Check the URL, and that the server runs (analytics-kit serve).",
            ) from None  # what libraries say of a request may hold its headers

    def _checked(self, answer: urllib3.BaseHTTPResponse, also: int = 200) -> dict[str, Any]:
        """The answer's JSON. Raises what the server tells."""
        told = _json(answer.data)
        if told and (answer.status < 300 or answer.status == also):
            return told
        if answer.status == 204:
            return {}
        if answer.status == 401:
            raise BrokerUnavailableError(f"The server at {self.name} refuses the token.", hint=TOKEN_HINT)
        kind, message = str(told.get("error", "")), str(told.get("message", ""))
        if answer.status >= 500 or answer.status == 429:
            said = f"The server at {self.name} can't serve now: {message or answer.status}"
            after = answer.headers.get("Retry-After", "")
            self._away = time.monotonic() + (float(after) if after.isdecimal() else 0.0), said
            raise BrokerUnavailableError(said, hint=AWAY_HINT)
        if not kind:
            raise BrokerUnavailableError(
                f"{self.name} does not answer as an analytics_kit server does ({answer.status}).",
                hint="Check the URL, and what stands between.",
            )
        hint = str(told.get("hint", "")) or None
        error = rebuild(kind, message, hint)
        known = type(error) is not JobFailedError or kind == "JobFailedError"
        raise error if known else SettingsError(message, hint=hint)


def _json(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _words(error: HTTPError) -> str:
    """What went wrong on the way, without the request."""
    reason: BaseException | None = error.reason if isinstance(error, MaxRetryError) else error
    if isinstance(reason, NameResolutionError):
        return "no host has this name"
    if isinstance(reason, SSLError):
        return f"TLS fails ({re.sub(r'^.*?: ', '', str(reason.args[0])) if reason.args else 'no reason given'})"
    if isinstance(reason, LateError) and not isinstance(reason.__cause__, OSError):
        return "it does not answer in time"
    chain, found = [reason], reason
    while found is not None and len(chain) < 10:
        if isinstance(found, OSError) and found.strerror:
            return found.strerror.lower()
        found = found.__cause__ or found.__context__
        chain.append(found)
    return "the connection broke"
