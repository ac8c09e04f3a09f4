"""Send requests to an `analytics-kit` server: with the token, with retries, and with its errors as the package's."""

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
from urllib3.exceptions import TimeoutError as HTTPTimeoutError
from urllib3.util import Retry, Timeout

from analytics_kit.errors import BrokerUnavailableError, JobFailedError, SettingsError, rebuild

API_PREFIX = "/api/analytics"
STALE_CONNECTION_RETRY = Retry(
    total=1, connect=0, read=1, redirect=0, status=0, other=0, respect_retry_after_header=False
)
"""One retry for a connection that went stale in the pool, but not of a POST, which must not take effect twice."""
LONG_RETRY = Retry(
    total=8, redirect=0, backoff_factor=0.5, backoff_max=8, status_forcelist=(502, 503, 504), raise_on_status=False,
)  # fmt: skip
"""For callers that wait anyway: retries for half a minute, or for as long as Retry-After demands."""
REQUEST_TIMEOUT = Timeout(connect=5, read=60)
UPLOAD_TIMEOUT = Timeout(connect=5, read=600)
FORGET_TIMEOUT = Timeout(connect=5, read=3600)
"""For a request upon which the server may have to read and write many results."""
TRANSFER_CHUNK_BYTES = 1 << 18
DOWNLOAD_TRIES = 3
TOKEN_HINT = "Pass token=, or set ANALYTICS_KIT_TOKEN; ask the administrator of the server for one."  # noqa: S105  no token
UNAVAILABLE_HINT = "Try again soon; the cause is in the log of the server, which its administrator can read."
_TOKEN_PATTERN = re.compile(r"[A-Za-z0-9._~+/-]+=*")

Query = Sequence[tuple[str, object]]


class ReadableStream(Protocol):
    """Content of an upload."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes, none at the end."""


class Transport:
    """HTTP connections to one server. Safe to use from threads.

    Its messages and its `repr` do not contain the token. A server that can't be reached or can't serve raises
    BrokerUnavailableError; any other error is the one that the server reports.

    Parameters
    ----------
    url
        `https://HOST` or `https://HOST/PREFIX`.
    token
        Bearer token; None sends none.

    Raises
    ------
    SettingsError
        The URL or the token has a form that can't be used.
    """

    def __init__(self, url: str, token: str | None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or "@" in parts.netloc:
            raise SettingsError(
                "The URL of the server can't be used.",
                hint='Write "https://HOST" or "https://HOST/PREFIX", and pass the token as token=.',
            )
        if token is not None and not _TOKEN_PATTERN.fullmatch(token):
            raise SettingsError("The token has characters that no token of a server has.", hint=TOKEN_HINT)
        self.server_url = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        self._api_url = self.server_url
        self._authorization = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._open()
        self._unavailable: tuple[float, str] = (0.0, "")
        """End of the Retry-After, in seconds of the monotonic clock, and the message until then."""
        if token is not None and parts.scheme == "http" and not _is_loopback(parts.hostname):
            warnings.warn(
                f"The token is sent to {self.server_url} unencrypted. Use https:// unless the network is trusted.",
                RuntimeWarning,
                stacklevel=2,
            )

    def _open(self) -> None:
        self._pid = os.getpid()
        self._connections = urllib3.PoolManager(
            maxsize=8, blocksize=TRANSFER_CHUNK_BYTES, timeout=REQUEST_TIMEOUT, retries=STALE_CONNECTION_RETRY
        )

    @property
    def _pool(self) -> urllib3.PoolManager:
        if self._pid != os.getpid():  # a forked process must not use its parent's connections
            self._open()
        return self._connections

    def locate_api(self) -> None:
        """Find the path of the API on the server, without sending the token.

        Raises BrokerUnavailableError when no path answers as the API does.
        """
        for base in (self.server_url, f"{self.server_url}{API_PREFIX}"):
            with self._translate_errors():
                response = self._pool.request("GET", f"{base}/health/live", redirect=False)
            if response.status == 200 and _json(response.data).get("live") is True:
                self._api_url = base
                return
        to = response.headers.get("Location")
        raise BrokerUnavailableError(
            f"There is no analytics_kit server at {self.server_url}.",
            hint=f"It redirects to {to}; connect to that URL if it is the server's." if to else "Check the URL.",
        )

    def request(
        self,
        method: str,
        path: str,
        query: Query = (),
        body: Mapping[str, Any] | None = None,
        *,
        respect_retry_after: bool = False,
        retry_long: bool = False,
        accept: int = 200,
        timeout: Timeout = REQUEST_TIMEOUT,
    ) -> dict[str, Any]:
        """Send a request and return the JSON of the response.

        Parameters
        ----------
        respect_retry_after
            Until the end of the server's last Retry-After, raise its message instead of sending the request.
        retry_long
            Retry for up to half a minute while the server is unavailable.
        accept
            A status besides 2xx whose JSON is returned.
        timeout
            For how long to wait for the response.

        Raises
        ------
        AnalyticsKitError
            The error that the server reports.
        BrokerUnavailableError
            The server can't be reached or can't serve.
        """
        if respect_retry_after and time.monotonic() < self._unavailable[0]:
            raise BrokerUnavailableError(self._unavailable[1], hint=UNAVAILABLE_HINT)
        content_type = {} if body is None else {"Content-Type": "application/json"}
        with self._translate_errors():
            response = self._pool.request(
                method, self._url(path, query), json=body, headers=self._authorization | content_type, redirect=False,
                retries=LONG_RETRY if retry_long else STALE_CONNECTION_RETRY, timeout=timeout,
            )  # fmt: skip
        return self._checked(response, accept)

    def upload(self, path: str, query: Query, stream: ReadableStream, size_bytes: int) -> dict[str, Any]:
        """Send a ZIP while it is read from the stream, and return the JSON of the response. Never retried."""
        headers = {"Content-Type": "application/zip", "Content-Length": str(size_bytes)}
        with self._translate_errors():
            response = self._pool.request(
                "POST", self._url(path, query), body=cast(IO[bytes], stream), headers=self._authorization | headers,
                retries=False, redirect=False, timeout=UPLOAD_TIMEOUT,
            )  # fmt: skip
        return self._checked(response)

    @contextmanager
    def download(self, path: str, query: Query) -> Iterator[IO[bytes]]:
        """Yield a file of the server, by way of an unnamed temporary file; what breaks off is fetched again."""
        with tempfile.TemporaryFile() as file:
            for tries_left in range(DOWNLOAD_TRIES - 1, -1, -1):
                with self._translate_errors():
                    response = self._pool.request(
                        "GET", self._url(path, query), headers=self._authorization, retries=LONG_RETRY,
                        redirect=False, preload_content=False,
                    )  # fmt: skip
                if response.status != 200:
                    with self._translate_errors():
                        response.read(cache_content=True)
                    self._checked(response)
                try:
                    with self._translate_errors():
                        for chunk in response.stream(TRANSFER_CHUNK_BYTES):
                            file.write(chunk)
                    break
                except BrokerUnavailableError:
                    if not tries_left:
                        raise
                    file.seek(0)
                    file.truncate()
                finally:
                    response.release_conn()
            file.seek(0)
            yield file

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def __repr__(self) -> str:
        return f"<Transport to {self.server_url}>"

    def _url(self, path: str, query: Query) -> str:
        return f"{self._api_url}{path}?{urlencode(query)}" if query else f"{self._api_url}{path}"

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except HTTPError as error:
            raise BrokerUnavailableError(
                f"The server at {self.server_url} can't be used: {_reason(error)}.",
                hint="Check the URL, and that the server is running (analytics-kit serve).",
            ) from None  # the message of the library may contain the headers of the request

    def _checked(self, response: urllib3.BaseHTTPResponse, accept: int = 200) -> dict[str, Any]:
        """Return the JSON of a response, or raise the error that it reports."""
        body = _json(response.data)
        if body and (response.status < 300 or response.status == accept):
            return body
        if response.status == 204:
            return {}
        if response.status == 401:
            raise BrokerUnavailableError(f"The server at {self.server_url} refuses the token.", hint=TOKEN_HINT)
        kind, message = str(body.get("error", "")), str(body.get("message", ""))
        if response.status >= 500 or response.status in (408, 429):  # 408: an upload was too slow this time
            notice = f"The server at {self.server_url} can't serve now: {message or response.status}"
            after = response.headers.get("Retry-After", "")
            self._unavailable = time.monotonic() + (float(after) if after.isdecimal() else 0.0), notice
            raise BrokerUnavailableError(notice, hint=UNAVAILABLE_HINT)
        if not kind:
            raise BrokerUnavailableError(
                f"{self.server_url} does not answer as an analytics_kit server does ({response.status}).",
                hint="Check the URL, and any proxy before the server.",
            )
        hint = str(body.get("hint", "")) or None
        error = rebuild(kind, message, hint)
        is_known = type(error) is not JobFailedError or kind == "JobFailedError"
        raise error if is_known else SettingsError(message, hint=hint)


def _json(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _reason(error: HTTPError) -> str:
    """Return why a request failed, without anything of the request itself."""
    reason: BaseException | None = error.reason if isinstance(error, MaxRetryError) else error
    if isinstance(reason, NameResolutionError):
        return "no host has this name"
    if isinstance(reason, SSLError):
        return f"TLS fails ({re.sub(r'^.*?: ', '', str(reason.args[0])) if reason.args else 'no reason given'})"
    if isinstance(reason, HTTPTimeoutError) and not isinstance(reason.__cause__, OSError):
        return "it does not answer in time"
    chain, cause = [reason], reason
    while cause is not None and len(chain) < 10:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror.lower()
        cause = cause.__cause__ or cause.__context__
        chain.append(cause)
    return "the connection broke"
