"""Receive copies of studies that users upload into the store, where workers can read them.

A copy is removed with its job, or when it expires.
"""

from __future__ import annotations

import json
import math
import re
from contextlib import ExitStack, suppress
from pathlib import Path, PurePath
from typing import IO

from analytics_kit.errors import SettingsError
from analytics_kit.settings import Settings
from analytics_kit.study.store.paths import (
    CONTENT_REFERENCES,
    STUDY_REFERENCES,
    UPLOAD_LOCATION,
    UPLOADS,
    references_folder,
    upload_folder,
    upload_owner,
)
from analytics_kit.study.store.store import Store

_UNSAFE = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|#]')
NAME_BYTES = 200


class _AbandonedError(Exception):
    """Raised inside the store's file when an upload ends early, so that the file is dropped."""


class NoRoomError(SettingsError):
    """The uploads of a namespace, or all together, would exceed their limit."""


class Upload:
    """A file that arrives in pieces. It appears in the store with `finish`; `abandon` removes all of it.

    A local store counts it with its whole size from the beginning, so that several uploads at the same time can't
    exceed the quota. Raises SettingsError when it would be larger than the settings allow, or when a piece is not the
    next one, and StoreError where it can't be written.
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
        self._folder = upload_folder(settings.namespace)
        self._store = Store.of(settings)
        require_room(settings, size_bytes)
        path = f"{self._folder}/{safe_name(name)}"
        self.source = f"{settings.store_url().rstrip('/')}/{path}"
        """The location to submit, once the upload is finished."""
        self._writing = ExitStack()
        self._file: IO[bytes] = self._writing.enter_context(self._store.create(path))
        with suppress(OSError, AttributeError):  # an object store has no such thing
            self._file.truncate(size_bytes)
        try:
            require_room(settings, 0)  # others may have begun at the same time
        except BaseException:
            self.abandon()
            raise

    def write(self, position: int, piece: bytes | memoryview) -> None:
        """Append the piece that begins at byte `position`."""
        end = position + len(piece)
        if position != self.written_bytes or end > self.size_bytes:
            raise SettingsError(
                f"A piece of the upload is out of order: bytes {position:,} to {end:,} arrived after "
                f"{self.written_bytes:,} of {self.size_bytes:,} bytes.",
                hint="Upload the file again.",
            )
        self._file.write(piece)
        self.written_bytes = end

    def finish(self) -> str:
        """Make the file readable and return the location to submit. Raises SettingsError where bytes are missing."""
        if self.written_bytes != self.size_bytes:
            self.abandon()
            raise SettingsError(
                f"The upload ended after {self.written_bytes:,} of {self.size_bytes:,} bytes.",
                hint="Upload the file again.",
            )
        self._writing.close()
        return self.source

    def abandon(self) -> None:
        """Remove what was received."""
        error = _AbandonedError()
        with suppress(_AbandonedError):
            self._writing.__exit__(type(error), error, None)
        self._store.delete(self._folder)


def require_room(settings: Settings, size_bytes: int) -> None:
    """Raise NoRoomError unless the store has room for a further upload of the settings' namespace."""
    uploads = Store.of(settings).files(UPLOADS)
    own = f"{UPLOADS}/{upload_owner(settings.namespace)}"
    used = sum(file.size_bytes for file in uploads if file.path.startswith(own)) / 1e9
    quota, limit = (math.inf if gb is None else gb for gb in (settings.upload_quota_gb, settings.store_limit_gb))
    if used + size_bytes / 1e9 > quota:
        raise NoRoomError(
            f"Your uploads have {used:,.2f} GB of at most {quota:,g} GB, so there is no room for "
            f"{size_bytes / 1e9:,.2f} GB.",
            hint="Delete jobs, which removes their uploads; unused uploads expire after 7 days. "
            "ANALYTICS_KIT_UPLOAD_QUOTA_GB sets the limit.",
        )
    content = {file.content_id or file.path: file.size_bytes for file in uploads}
    if sum(content.values()) / 1e9 + size_bytes / 1e9 > limit:
        raise NoRoomError(
            "The store has no room for this upload.",
            hint="Try again when others were removed; ANALYTICS_KIT_STORE_LIMIT_GB sets the limit.",
        )


def safe_name(name: str) -> str:
    """Return a file name that any store accepts, made from the name that a browser gives."""
    last = _UNSAFE.sub("_", PurePath(name.replace("\\", "/")).name).strip(". ")
    stem, dot, suffix = last.rpartition(".")
    stem_bytes = NAME_BYTES - len((dot + suffix).encode())
    if not stem or stem_bytes < 1:
        stem, dot, suffix, stem_bytes = last, "", "", NAME_BYTES
    return (stem.encode()[:stem_bytes].decode(errors="ignore") + dot + suffix) or "study.zip"


def is_upload(store_url: str, source: str) -> bool:
    """Return whether the source is a copy that was uploaded to the store at `store_url`."""
    match, store = UPLOAD_LOCATION.fullmatch(source), store_url.rstrip("/")
    if match is None or match["store"] != store or ".." in source.split("/"):
        return False
    return Path(source).resolve().is_relative_to(Path(store).resolve())  # no link may lead out of the store


def referenced_uploads(store: Store, namespace: str) -> list[str]:
    """Return the paths in the store of the uploads to which references of a namespace lead."""
    return [path for path in _references(store, namespace).values() if path is not None]


def remove_references(store: Store, namespace: str) -> None:
    """Remove the references of a namespace whose uploads are gone."""
    for reference, path in _references(store, namespace).items():
        if path is not None and store.changed_at(path) is None:
            store.remove(reference)


def _references(store: Store, namespace: str) -> dict[str, str | None]:
    """Return the references of a namespace, with the path to which each leads; None for one that can't be read."""
    found: dict[str, str | None] = {}
    for references in (STUDY_REFERENCES, CONTENT_REFERENCES):
        for file in store.files(references_folder(references, namespace), recursive=False):
            try:
                with store.open(file.path) as opened:
                    found[file.path] = str(json.loads(opened.read())["path"])
            except (FileNotFoundError, ValueError, KeyError, TypeError):
                found[file.path] = None
    return found


def discard(source: str) -> None:
    """Remove an uploaded copy; any other source is left alone."""
    match = UPLOAD_LOCATION.fullmatch(source)
    if match is not None and Store(match["store"]).id() is not None:
        Store(match["store"]).delete(match["folder"])
