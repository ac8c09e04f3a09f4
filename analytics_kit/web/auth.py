"""Authenticate bearer tokens: each gives access to one namespace of jobs, results and uploads."""

from __future__ import annotations

import hashlib
import hmac
import re

from analytics_kit.errors import SettingsError

_TOKEN_LINE = re.compile(
    r"(?:(?P<namespace>[A-Za-z0-9_.@-]{1,128})[ \t]*:[ \t]*)?(?P<token>[A-Za-z0-9._~+/-]{16,512}=*)", re.ASCII
)
LINE_FORM_HINT = "A line is TOKEN or NAMESPACE: TOKEN; a token has at least 16 letters, digits or any of . _ ~ + / -"


class TokenStore:
    """Tokens with their namespaces, as hashes: the tokens themselves are not kept.

    Parameters
    ----------
    text : str
        One token per line, as `TOKEN` or `NAMESPACE: TOKEN`. Empty lines and lines that begin with `#` are ignored.
    namespace : str
        The namespace of tokens without one.

    Raises
    ------
    SettingsError
        A line has another form. The message gives its number and does not quote it.

    Examples
    --------
    >>> tokens = TokenStore("ann: 0123456789abcdef", namespace="default")
    >>> tokens.namespace_of("Bearer 0123456789abcdef")
    'ann'
    """

    def __init__(self, text: str, namespace: str) -> None:
        self._hashes: list[tuple[bytes, str]] = []
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            match = _TOKEN_LINE.fullmatch(line.strip())
            if match is None:
                raise SettingsError(f"Line {number} of the tokens can't be read.", hint=LINE_FORM_HINT)
            self._hashes.append((_hash(match["token"]), match["namespace"] or namespace))

    def __len__(self) -> int:
        return len(self._hashes)

    def signing_key(self) -> bytes:
        """Return a key for signing cookies, equal for equal tokens.

        The derivation is slow on purpose, so that no token can be found by trying keys against a cookie.
        """
        secret = b"".join(token + namespace.encode() for token, namespace in sorted(self._hashes))
        return hashlib.scrypt(secret, salt=b"analytics_kit sessions", n=1 << 14, r=8, p=1)

    def namespace_of(self, header: str | None) -> str | None:
        """Return the namespace for an Authorization header `Bearer TOKEN`; None for any other value.

        All tokens are compared, in constant time, so that the duration reveals nothing about them.
        """
        scheme, _, token = (header or "").partition(" ")
        hashed, namespace = _hash(token.strip()), None
        for known_hash, known_namespace in self._hashes:
            if hmac.compare_digest(known_hash, hashed):
                namespace = known_namespace
        return namespace if scheme.lower() == "bearer" else None


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()
