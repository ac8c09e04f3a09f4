"""Settings of the HTTP server, in addition to those of a client."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode

from analytics_kit.settings import Settings


def _split(value: object) -> object:
    """Split a string at commas and spaces."""
    return value.replace(",", " ").split() if isinstance(value, str) else value


class ServerSettings(Settings):
    """Settings of a server: those of a client, and the ones below.

    Each is read from `ANALYTICS_KIT_<NAME>` unless it is passed to `ServerSettings.of`. `token` holds one token per
    line, as `TOKEN` or `NAMESPACE: TOKEN`.

    See Also
    --------
    analytics_kit.web.app.create_app : The application with these settings.

    Examples
    --------
    >>> settings = ServerSettings.of(data="/data/studies", origins="https://lab.example.org")
    >>> settings.origins
    ('https://lab.example.org',)
    """

    data: str | None = None
    """Folder or fsspec URL with the studies. None offers only uploaded studies."""
    origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)] = ()
    """Origins, such as `https://lab.example.org`, whose pages may call the API from a browser."""
    answer_limit_s: float = Field(60, ge=0)
    """Seconds after which a request that waits for a job is answered, whether or not the job has ended."""
    waiting_limit: int = Field(8, ge=1)
    """Number of requests that may wait for jobs at the same time; further ones are answered at once."""
    proxies: int = Field(0, ge=0)
    """Number of trusted proxies before the server that set X-Forwarded-For, -Proto, -Host and -Prefix."""
    require_token: bool = True
    """Refuse requests without a token."""
