"""Who asks? A token opens one namespace, and nobody sees more than their own."""

from __future__ import annotations

import hashlib
import hmac
import re

from analytics_kit.errors import SettingsError

_LINE = re.compile(
    r"(?:(?P<namespace>[A-Za-z0-9_.@-]{1,128})[ \t]*:[ \t]*)?(?P<token>[A-Za-z0-9._~+/-]{16,512}=*)", re.ASCII
)
HINT = "A line is TOKEN or NAMESPACE: TOKEN; a token has at least 16 letters, digits or any of . _ ~ + / -"


class Keys:
    """The tokens and the namespace that each opens. Only their hashes are kept.

    Parameters
    ----------
    text : a token a line, as `TOKEN` or `NAMESPACE: TOKEN`; blank lines and those that begin with `#` are left out.
    namespace : what a token without one opens.

    Raises SettingsError for a line that can't be read, without quoting it.
    """

    def __init__(self, text: str, namespace: str) -> None:
        self._namespaces: list[tuple[bytes, str]] = []
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            found = _LINE.fullmatch(line.strip())
            if found is None:
                raise SettingsError(f"Line {number} of the tokens can't be read.", hint=HINT)
            self._namespaces.append((_hashed(found["token"]), found["namespace"] or namespace))

    def __len__(self) -> int:
        return len(self._namespaces)

    def derived(self) -> bytes:
        """A key to sign with, the same for the same tokens. So dear to make that no token is found by trying."""
        known = b"".join(token + namespace.encode() for token, namespace in sorted(self._namespaces))
        return hashlib.scrypt(known, salt=b"analytics_kit sessions", n=1 << 14, r=8, p=1)

    def namespace_of(self, header: str | None) -> str | None:
        """The namespace that `Authorization: Bearer TOKEN` opens; None for whatever else it is.

        Takes as long for a wrong token as for a right one, and looks at all of them.
        """
        scheme, _, token = (header or "").partition(" ")
        given, opened = _hashed(token.strip()), None
        for known, namespace in self._namespaces:
            if hmac.compare_digest(known, given):
                opened = namespace
        return opened if scheme.lower() == "bearer" else None


def _hashed(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()
