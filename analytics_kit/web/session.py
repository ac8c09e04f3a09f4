"""Who sent a request: a program with its token, or the page in a browser that is signed in?

A signed cookie names the namespace and when it was opened, nothing else. What the page asks beyond reading carries a
proof that only a page of ours can know.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass

from flask import Response, request
from itsdangerous import BadData, URLSafeTimedSerializer

from analytics_kit.web.auth import Keys

SESSION_S = 12 * 3600
HEADER, FIELD = "X-CSRF-Token", "csrf"
"""Where a request has its proof: in this header, or in this field of a form."""


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks. `proof` is what their page sends along; `by_cookie`: nothing but a cookie tells who it is."""

    namespace: str
    proof: str
    by_cookie: bool = False

    def proves(self, given: str | None) -> bool:
        """Whether this is the proof, from a page that was made for this asker."""
        return hmac.compare_digest(self.proof.encode(), (given or "").encode())


class Sessions:
    """Signs and reads cookies. All processes with the same tokens agree; other tokens end all sessions."""

    def __init__(self, keys: Keys) -> None:
        self._key = keys.derived() if len(keys) else secrets.token_bytes(32)
        self._cookies = URLSafeTimedSerializer(
            self._key, "session", signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256}
        )

    def by_token(self, namespace: str) -> Asker:
        """Who showed a token, or needs none."""
        return Asker(namespace, self._proof(f"namespace {namespace}"))

    def by_cookie(self) -> Asker | None:
        """Who is signed in; None for nobody, and once the session has had its time."""
        cookie = request.cookies.get(_name(), "")
        try:
            namespace: str = self._cookies.loads(cookie, max_age=SESSION_S)
        except BadData:
            return None
        return Asker(namespace, self._proof(f"cookie {cookie}"), by_cookie=True)

    def begin(self, response: Response, namespace: str) -> None:
        """Sign the browser in.

        A cookie without a path is for the folder that the browser sees, behind whatever proxy.
        """
        _set(response, str(self._cookies.dumps(namespace)), SESSION_S)

    def end(self, response: Response) -> None:
        """Sign the browser out."""
        _set(response, "", 0)

    def _proof(self, of: str) -> str:
        return hmac.new(self._key, f"proof of {of}".encode(), hashlib.sha256).hexdigest()


def _name() -> str:
    """Browsers share cookies between the ports of a host, where another server may be."""
    port = request.host.rpartition(":")[2]
    return f"analytics_kit_{port}" if port.isdecimal() else "analytics_kit"


def _set(response: Response, value: str, max_age_s: int) -> None:
    response.set_cookie(
        _name(), value, max_age_s, path=None, secure=request.is_secure, httponly=True, samesite="Strict"
    )
