"""Settings for broker, store, server and panels: argument > environment > `.env` > default."""

from __future__ import annotations

import getpass
import json
import math
import os
import re
import stat
import tempfile
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import quote, urlsplit

from platformdirs import user_data_path
from pydantic import (
    AliasChoices,
    BeforeValidator,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from analytics_kit.errors import SettingsError, nearest
from analytics_kit.utf8_text import utf8_text

SETTINGS_HINT = "The README lists the settings, under “Your own Redis”."
URL_SCHEMES = ("redis", "rediss", "unix")
SERVER_SCHEMES = ("http", "https")
RESERVED_QUEUES = ("rq", "analytics")


def _roots(value: object) -> object:
    """Return folders that are separated by `:` or given as a JSON list."""
    if not isinstance(value, str):
        return value
    return json.loads(value) if value.startswith("[") else [part for part in value.split(":") if part]


def _urls(value: object) -> object:
    """Return URLs that are separated by spaces or given as a JSON list."""
    if not isinstance(value, str):
        return value
    return json.loads(value) if value.startswith("[") else value.split()


NO_HOME = "since HOME is not set and the user has no entry in passwd"
_first_paths: dict[tuple[str, str], str] = {}
"""Relative paths of the environment, by variable and text, as they were resolved first."""


def _absolute(path: str, variable: str) -> str:
    """Return an absolute path; one of the environment is resolved once, so that `os.chdir` does not move it."""
    expanded = str(user_path(path))
    if os.path.isabs(expanded):  # noqa: PTH117  no folder of the process is needed, which may be gone
        return expanded
    resolved = str(Path(expanded).absolute())
    return _first_paths.setdefault((variable, path), resolved) if os.environ.get(variable) == path else resolved


def user_path(path: str | os.PathLike[str]) -> Path:
    """Return a path that a person wrote, with `~` as their folder. Raises SettingsError where they have none.

    A name that only begins with `~` is a name: Path.expanduser raises RuntimeError for one that is not a user's.
    """
    expanded = Path(os.path.expanduser(path))  # noqa: PTH111
    if expanded.parts[:1] == ("~",):
        raise SettingsError(
            f"{os.fspath(path)} can't be found: ~ stands for no folder, {NO_HOME}.", hint="Write the whole path."
        )
    return expanded


def _default_home() -> Path:
    return _known_home() or _home_without_home()


def _known_home() -> Path | None:
    """Return the folder for data of this user; None where the user has no folder."""
    with suppress(RuntimeError):  # newer versions of platformdirs raise it, earlier ones return a path with ~
        if (home := user_data_path("analytics_kit", appauthor=False)).is_absolute():
            return home
    return None


def _home_without_home() -> Path:
    """Return a folder for temporary files that only this user can use. Raises SettingsError when there is none."""
    hint = "Set ANALYTICS_KIT_HOME to a folder that only you can write to."
    try:
        home = Path(tempfile.gettempdir()) / f"analytics_kit-{os.getuid()}"
        home.mkdir(mode=0o700, exist_ok=True)
        status = home.lstat()
    except OSError as error:
        raise SettingsError(f"No folder can be used for results: {error.strerror}, {NO_HOME}.", hint=hint) from error
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise SettingsError(f"{home} is open to other users, and there is no other folder, {NO_HOME}.", hint=hint)
    message = f"Results are kept in {home}, which may be emptied, {NO_HOME}. {hint}"
    warnings.warn(message, RuntimeWarning, stacklevel=2)
    return home


def _default_namespace() -> str:
    name = os.environ.get("JUPYTERHUB_USER", "")
    with suppress(KeyError, OSError, ImportError):  # a user without an entry in passwd, as in a container
        name = name or getpass.getuser()
    if not name and hasattr(os, "getuid"):
        name = f"uid-{os.getuid()}"
    return re.sub(r"[^A-Za-z0-9_.@-]", "_", name)[:128] or "user"


class Settings(BaseSettings):
    """Checked settings. Secrets are not printed: `redis_url`, `redis_password`, `token` and `secret` print as stars.

    Each field is set by an argument of `connect`, or by the environment variable `ANALYTICS_KIT_<NAME>`
    (`REDIS_URL` and the like without the prefix).

    >>> Settings.of("redis://:secret@host:6379/0").redis_url
    SecretStr('**********')
    """

    model_config = SettingsConfigDict(
        frozen=True,
        extra="ignore",
        env_prefix="ANALYTICS_KIT_",
        env_file=".env",
        env_ignore_empty=True,
        use_attribute_docstrings=True,
    )

    redis_url: SecretStr | None = Field(None, validation_alias=AliasChoices("redis_url", "REDIS_URL"))
    """`redis://`, `rediss://` or `unix://`; wins over the parts below."""
    redis_host: str | None = Field(None, validation_alias=AliasChoices("redis_host", "REDIS_HOST"))
    """Host of a Redis server."""
    redis_port: int | None = Field(None, validation_alias=AliasChoices("redis_port", "REDIS_PORT"))
    """Port of a Redis server (6379)."""
    redis_db: int = Field(0, ge=0, validation_alias=AliasChoices("redis_db", "REDIS_DB"))
    """Database number."""
    redis_password: SecretStr | None = Field(None, validation_alias=AliasChoices("redis_password", "REDIS_PASSWORD"))
    """Password of a Redis server."""
    backend: Literal["auto", "redis", "embedded", "local", "http"] = "auto"
    """Which backend; `auto` chooses between redis, embedded and local."""
    server_url: str | None = None
    """`https://` URL of a server started by `analytics-kit serve`, for `backend="http"`."""
    home: Path = Field(default_factory=_default_home)
    """Folder of all that is stored. As for the other paths, `~` is this user's folder."""
    store: str | None = None
    """fsspec URL of the result store; None is `store/` below `home`."""
    store_limit_gb: float | None = Field(50, gt=0)
    """Results beyond this many GB are removed, least recently used first; None or `inf` sets no limit."""
    upload_limit_gb: float = Field(20, gt=0)
    """Largest upload of a study, in GB."""
    upload_quota_gb: float | None = Field(25, gt=0)
    """GB that the uploaded studies of a namespace may have together; None or `inf` sets no limit."""
    workers: int | None = Field(None, ge=1)
    """Size of the embedded pool; None fits it to the machine."""
    idle_s: float = Field(15 * 60.0, gt=0)
    """Seconds without a submitted or running job after which the embedded broker ends."""
    retries: int = Field(2, ge=0)
    """How often a step of a job is repeated after a failure that may not recur, such as a killed worker."""
    namespace: str = Field(
        default_factory=_default_namespace,
        pattern=r"^[A-Za-z0-9_.@-]{1,128}$",
    )
    """Keeps the jobs of different users apart; tidiness, not a security boundary."""
    queue: str = Field("ak", pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    """Name of the queue on the Redis server, for clients and workers; its keys begin with it. Two deployments with
    queues of different names on one server know nothing of each other."""
    secret: SecretStr | None = Field(None, min_length=16)
    """Signs the jobs on a Redis server; workers with it refuse jobs without. Same for clients, server and workers."""
    stores: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_urls)] = ()
    """Stores, besides `store`, that this machine's workers use when a job names them."""
    sources: Annotated[tuple[Path, ...] | None, NoDecode, BeforeValidator(_roots)] = None
    """Folders that workers may read studies from; None allows any."""
    static: bool | None = None
    """Show final static records in place of live panels; None detects whether there is a front end."""
    token: SecretStr | None = None
    """Token of the HTTP API, for its clients and for the server."""

    _is_home_passed: bool = PrivateAttr(default=False)

    @field_validator("queue")
    @classmethod
    def _is_no_name_of_rq(cls, name: str) -> str:
        if name in RESERVED_QUEUES:
            raise ValueError(
                f"{' and '.join(RESERVED_QUEUES)} can't name a queue, since the keys of rq begin with them"
            )
        return name

    @field_validator("home", "store", "sources")
    @classmethod
    def _resolve(cls, value: Any, info: ValidationInfo) -> Any:
        """Make paths absolute, so that they mean the same in all processes."""
        variable = f"ANALYTICS_KIT_{str(info.field_name).upper()}"
        if isinstance(value, tuple):
            return tuple(Path(_absolute(str(path), variable)) for path in value)
        if isinstance(value, Path):
            return Path(_absolute(str(value), variable))
        scheme, mark, path = (value or "").rpartition("://")
        if value is None or scheme not in ("", "file", "local"):
            return value
        return f"{scheme}{mark}{_absolute(path, variable)}"

    @model_validator(mode="before")
    @classmethod
    def _kubernetes_port(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Kubernetes sets REDIS_PORT=tcp://10.0.0.1:6379 for a service called redis."""
        for name in ("redis_port", "REDIS_PORT"):
            found = re.fullmatch(r"tcp://(\[?[^\]/]+\]?):(\d+)/?", str(values.get(name, "")))
            if found:
                values = {**values, name: int(found[2])}
                if not (values.get("redis_host") or values.get("REDIS_HOST")):
                    values["redis_host"] = found[1].strip("[]")
        return values

    @classmethod
    def of(cls, url: str | None = None, **settings: Any) -> Self:
        """Return the settings for `connect(url, **settings)`.

        Raises SettingsError, which names the setting but never its value: it may be a secret.
        """
        for name in settings:
            if name not in cls.model_fields:
                raise SettingsError(f"Unknown setting {name!r}.{nearest(name, cls.model_fields)}", hint=SETTINGS_HINT)
        if url in ("embedded", "local"):
            settings["backend"] = url
        elif url is not None:
            scheme = urlsplit(url).scheme
            if scheme not in (*URL_SCHEMES, *SERVER_SCHEMES):
                raise SettingsError(  # without the URL, which may hold a password
                    "The URL names no broker or server: its scheme is none of "
                    f"{', '.join((*URL_SCHEMES, *SERVER_SCHEMES))}.",
                    hint='Use a redis://, rediss://, unix:// or https:// URL, "embedded" or "local".',
                )
            named = ("http", "server_url") if scheme in SERVER_SCHEMES else ("redis", "redis_url")
            settings |= {"backend": named[0], named[1]: url}
        try:
            made = cls(**settings)
            made._is_home_passed = settings.get("home") is not None
            return made
        except ValidationError as error:
            problem = error.errors(include_input=False)[0]
            name = ".".join(str(part) for part in problem["loc"]).lower()
            variable = name.upper() if name.startswith("redis_") else f"ANALYTICS_KIT_{name.upper()}"
            raise SettingsError(
                f"Setting {name} ({variable}) can't be used: {problem['msg']}.", hint=SETTINGS_HINT
            ) from None
        except UnicodeDecodeError:
            raise SettingsError("The file .env in this folder is not UTF-8.", hint="Save it as UTF-8.") from None

    def broker_url(self) -> str | None:
        """Return the URL of the named Redis, with its password; None when none is named."""
        if self.redis_url is not None:
            return self.redis_url.get_secret_value()
        if self.redis_host is None and self.redis_port is None:
            return None
        secret = "" if self.redis_password is None else f":{quote(self.redis_password.get_secret_value(), safe='')}@"
        host = self.redis_host or "localhost"
        host = f"[{host}]" if ":" in host else host
        return f"redis://{secret}{host}:{self.redis_port or 6379}/{self.redis_db}"

    def store_url(self) -> str:
        """Return the URL or path of the result store."""
        return self.store or self.default_store()

    def default_store(self) -> str:
        """Return the store used when none is named: a folder below `home` that only its owner may read."""
        return str(self.home / "store")

    @property
    def has_own_home(self) -> bool:
        """Whether `home` is not the one that processes of this user share: it was passed as an argument."""
        named = os.environ.get("ANALYTICS_KIT_HOME")
        shared = Path(_absolute(named, "ANALYTICS_KIT_HOME")) if named else _known_home()
        return self._is_home_passed and self.home != shared

    @property
    def has_temporary_home(self) -> bool:
        """Whether `home` is in the system's folder for temporary files."""
        with suppress(OSError):
            return self.home.is_relative_to(tempfile.gettempdir())
        return False


def without_secrets(url: str) -> str:
    """Return the URL without user, password, query and fragment, for display.

    A path stays as it is, but for bytes that are not UTF-8.
    """
    if "://" not in url:
        return utf8_text(url)
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return utf8_text(f"{parts.scheme}://{host}{parts.path}")


def settings_environment(settings: Settings) -> dict[str, str]:
    """Return environment variables that give a child process these settings, except those of the broker."""
    limit_gb = math.inf if settings.store_limit_gb is None else settings.store_limit_gb
    variables = {
        "ANALYTICS_KIT_HOME": str(settings.home),
        "ANALYTICS_KIT_STORE": settings.store_url(),
        "ANALYTICS_KIT_STORE_LIMIT_GB": str(limit_gb),
        "ANALYTICS_KIT_QUEUE": settings.queue,
    }
    if settings.secret is not None:
        variables["ANALYTICS_KIT_SECRET"] = settings.secret.get_secret_value()
    if settings.stores:
        variables["ANALYTICS_KIT_STORES"] = json.dumps(settings.stores)
    if settings.sources is not None:
        variables["ANALYTICS_KIT_SOURCES"] = ":".join(str(path) for path in settings.sources)
    return variables
