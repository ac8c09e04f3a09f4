"""Identify the sender of a request: a program by its token, or a browser by its session cookie.

The signed cookie holds the namespace and the time of signing in, nothing else. A request that changes something also
needs a CSRF token, which only pages of this server contain.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass

from flask import Response, request
from itsdangerous import BadData, URLSafeTimedSerializer

from analytics_kit.web.auth import TokenStore

SESSION_S = 12 * 3600
CSRF_HEADER, CSRF_FIELD = "X-CSRF-Token", "csrf"
"""The request header and the form field that carry the CSRF token."""


@dataclass(frozen=True, slots=True)
class Principal:
    """The authenticated sender of a request.

    Attributes
    ----------
    namespace : str
        The namespace it has access to.
    csrf_token : str
        The token in the forms of its pages; see `CSRF_FIELD`.
    is_from_cookie : bool
        Whether only a session cookie identifies it.
    """

    namespace: str
    csrf_token: str
    is_from_cookie: bool = False

    def has_csrf_token(self, value: str | None) -> bool:
        """Whether `value` is the CSRF token of a page made for this principal."""
        return hmac.compare_digest(self.csrf_token.encode(), (value or "").encode())


class SessionCookies:
    """Sign and verify session cookies.

    Servers with the same tokens accept each other's cookies; a change of the tokens ends all sessions.
    """

    def __init__(self, tokens: TokenStore) -> None:
        self._key = tokens.signing_key() if len(tokens) else secrets.token_bytes(32)
        self._serializer = URLSafeTimedSerializer(
            self._key, "session", signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256}
        )

    def principal_of_namespace(self, namespace: str) -> Principal:
        """Return the principal of a request that has a token or needs none."""
        return Principal(namespace, self._csrf_token(f"namespace {namespace}"))

    def principal_of_cookie(self) -> Principal | None:
        """Return the principal of the request's session cookie; None without a valid one or when it has expired."""
        cookie = request.cookies.get(_cookie_name(), "")
        try:
            namespace: str = self._serializer.loads(cookie, max_age=SESSION_S)
        except BadData:
            return None
        return Principal(namespace, self._csrf_token(f"cookie {cookie}"), is_from_cookie=True)

    def sign_in(self, response: Response, namespace: str) -> None:
        """Set the session cookie. Without a path it applies to the folder that the browser sees behind any proxy."""
        _set_cookie(response, str(self._serializer.dumps(namespace)), SESSION_S)

    def sign_out(self, response: Response) -> None:
        """Delete the session cookie."""
        _set_cookie(response, "", 0)

    def _csrf_token(self, subject: str) -> str:
        message = f"proof of {subject}"  # as in earlier versions: forms that were loaded before an upgrade stay valid
        return hmac.new(self._key, message.encode(), hashlib.sha256).hexdigest()


def _cookie_name() -> str:
    """Include the port: browsers share cookies between the ports of a host, where another server may run."""
    port = request.host.rpartition(":")[2]
    return f"analytics_kit_{port}" if port.isdecimal() else "analytics_kit"


def _set_cookie(response: Response, value: str, max_age_s: int) -> None:
    response.set_cookie(
        _cookie_name(), value, max_age_s, path=None, secure=request.is_secure, httponly=True, samesite="Strict"
    )
