"""What does the HTTP API need to know besides the settings of a client?"""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode

from analytics_kit.settings import Settings


def _words(value: object) -> object:
    """Words separated by commas or spaces."""
    return value.replace(",", " ").split() if isinstance(value, str) else value


class ServerSettings(Settings):
    """The settings of a client, and those of the server. `token` has lines `TOKEN` or `NAMESPACE: TOKEN`."""

    data: str | None = None
    """Folder or fsspec URL with the studies; None offers only what is uploaded."""
    origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words)] = ()
    """Origins, such as `https://lab.example.org`, whose pages may call the API from a browser."""
    answer_limit_s: float = Field(60, ge=0)
    """A request that waits for a job is answered after so many seconds, whether the job has ended or not."""
    waiting_limit: int = Field(8, ge=1)
    """So many requests may wait for jobs at the same time; more are answered at once."""
    proxies: int = Field(0, ge=0)
    """So many proxies before the server set X-Forwarded-For, -Proto, -Host and -Prefix."""
    require_token: bool = True
    """Refuse requests without a token."""
