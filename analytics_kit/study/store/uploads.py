"""A copy of a study that somebody uploaded: how it comes into the store, and how it goes.

It lies at `uploads/<token>/<name>` in the store, where workers see it too. It goes with its job, or with its age.
"""

from __future__ import annotations

import re
import secrets
from contextlib import ExitStack, suppress
from pathlib import Path, PurePath
from typing import IO

from analytics_kit.errors import SettingsError
from analytics_kit.settings import Settings
from analytics_kit.study.store.store import Store

UPLOADS = "uploads"
PLACE = re.compile(rf"(?P<store>.+)/(?P<folder>{UPLOADS}/[0-9a-f]{{32}})/[^/]+", re.DOTALL)
_UNSAFE = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|#]')
NAME_BYTES = 200


class _AbandonedError(Exception):
    """What the store sees of an upload that ends early."""


class Upload:
    """A file that comes in pieces. Nobody sees it before `finish`; `abandon` leaves nothing.

    Raises SettingsError when it would be larger than the settings allow, or when a piece is not the next one, and
    StoreError where it can't be written.
    """

    def __init__(self, settings: Settings, name: str, size_bytes: int) -> None:
        limit_gb = settings.upload_limit_gb
        if not 0 <= size_bytes <= limit_gb * 1e9:
            raise SettingsError(
                f"{name} has {size_bytes / 1e9:,.2f} GB, at most {limit_gb:,g} GB can be uploaded.",
                hint="Raise ANALYTICS_KIT_UPLOAD_LIMIT_GB, or copy the file to this machine and submit its path.",
            )
        self.size_bytes = size_bytes
        self.written_bytes = 0
        self._folder = f"{UPLOADS}/{secrets.token_hex(16)}"
        self._store = Store.of(settings)
        path = f"{self._folder}/{safe_name(name)}"
        self.source = f"{settings.store_url().rstrip('/')}/{path}"
        """What to submit, once it is finished."""
        self._open = ExitStack()
        self._file: IO[bytes] = self._open.enter_context(self._store.create(path))

    def write(self, at: int, piece: bytes | memoryview) -> None:
        """Add the piece that begins at byte `at`."""
        end = at + len(piece)
        if at != self.written_bytes or end > self.size_bytes:
            raise SettingsError(
                f"A piece of the upload is out of place: bytes {at:,} to {end:,} came where "
                f"{self.written_bytes:,} of {self.size_bytes:,} were there.",
                hint="Upload the file again.",
            )
        self._file.write(piece)
        self.written_bytes = end

    def finish(self) -> str:
        """Make it readable; what to submit."""
        if self.written_bytes != self.size_bytes:
            self.abandon()
            raise SettingsError(
                f"The upload ended after {self.written_bytes:,} of {self.size_bytes:,} bytes.",
                hint="Upload the file again.",
            )
        self._open.close()
        return self.source

    def abandon(self) -> None:
        """Leave nothing of it."""
        error = _AbandonedError()
        with suppress(_AbandonedError):
            self._open.__exit__(type(error), error, None)
        self._store.delete(self._folder)


def safe_name(name: str) -> str:
    """A file name that any store takes, from what a browser calls the file."""
    last = _UNSAFE.sub("_", PurePath(name.replace("\\", "/")).name).strip(". ")
    stem, dot, kind = last.rpartition(".")
    room = NAME_BYTES - len((dot + kind).encode())
    if not stem or room < 1:
        stem, dot, kind, room = last, "", "", NAME_BYTES
    return (stem.encode()[:room].decode(errors="ignore") + dot + kind) or "study.zip"


def is_upload(store_url: str, source: str) -> bool:
    """Whether the source is a copy that was uploaded to this store."""
    found, store = PLACE.fullmatch(source), store_url.rstrip("/")
    if found is None or found["store"] != store or ".." in source.split("/"):
        return False
    return Path(source).resolve().is_relative_to(Path(store).resolve())  # no link leads out of it


def discard(source: str) -> None:
    """Remove an uploaded copy; any other source is left alone."""
    found = PLACE.fullmatch(source)
    if found is not None and Store(found["store"]).id() is not None:
        Store(found["store"]).delete(found["folder"])
