"""Sign what Redis holds and workers act on, with a secret that Redis never sees.

Whoever can write to Redis can then neither make workers do work that no client submitted, nor change what it is.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from itsdangerous import Signer

MAX_AGE_S = 30 * 24 * 3600
"""A signature is valid for as long as records are kept."""


class Signatures:
    """Makes and checks signatures; without a secret it makes none and accepts everything.

    >>> signatures = Signatures("secret")
    >>> signature = signatures.sign("message", ["ann", "3f2a"])
    >>> signatures.is_valid(signature, "message", ["ann", "3f2a"]), signatures.is_valid(signature, "message", ["bob"])
    (True, False)
    >>> Signatures(None).sign("message", []) is None, Signatures(None).is_valid(None, "message", [])
    (True, True)
    """

    def __init__(self, secret: str | None) -> None:
        self._secret = secret

    @property
    def are_required(self) -> bool:
        """Whether what is not signed is refused."""
        return self._secret is not None

    def sign(self, purpose: str, value: Any) -> str | None:
        """Return the signature of a JSON value; None without a secret."""
        if self._secret is None:
            return None
        return self._signer(purpose).get_signature(_canonical(value)).decode()

    def is_valid(self, signature: object, purpose: str, value: Any) -> bool:
        """Return whether the signature was made for this value and purpose."""
        if self._secret is None:
            return True
        if not isinstance(signature, str) or not signature.isascii():
            return False
        return self._signer(purpose).verify_signature(_canonical(value), signature)

    def _signer(self, purpose: str) -> Signer:
        assert self._secret is not None  # noqa: S101  both callers have checked
        return Signer(
            self._secret, salt=f"analytics_kit.{purpose}", key_derivation="hmac", digest_method=hashlib.sha256
        )

    def __repr__(self) -> str:
        return f"<Signatures: {'required' if self.are_required else 'none'}>"


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
