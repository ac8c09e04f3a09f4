"""List the studies of a server, locate one by its id, and store uploads.

An id means the study uploaded under it in the namespace of the request; else `<study_id>.zip` in the folder of
studies; else the folder `<study_id>_study_id/` there, which is how the platform stores a study.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, Any, Literal

import fsspec

from analytics_kit.client import Client
from analytics_kit.errors import BadArchiveError, SourceNotFoundError, StoreError
from analytics_kit.options import Options
from analytics_kit.study.archive.source import fingerprint, open_archive
from analytics_kit.study.store.paths import (
    CONTENT_REFERENCES,
    STUDY_REFERENCES,
    reference_name,
    reference_path,
    references_folder,
)
from analytics_kit.study.store.store import Store
from analytics_kit.study.store.uploads import Upload

STUDY_ID = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$"
RESERVED = ("docs", "forget", "health", "jobs", "openapi.json", "queue-status", "static", "studies", "uploads")
"""First path segments of other routes, which can't be study ids."""
FOLDER_SUFFIX = "_study_id"
UPLOAD_CHUNK_BYTES = 1 << 20
ZIP_SIGNATURES = (b"PK\x03\x04", b"PK\x05\x06")
"""First bytes of a ZIP, and of a ZIP without members."""

StudyKind = Literal["upload", "zip", "folder"]


@dataclass(frozen=True, slots=True)
class Study:
    """A study of the catalogue. `source` is what to submit; `size_bytes` is None for a folder."""

    study_id: str
    kind: StudyKind
    source: str
    size_bytes: int | None = None
    changed_at: datetime | None = None


def is_study_id(text: str) -> bool:
    """Whether a study can have this id.

    Examples
    --------
    >>> is_study_id("pilot-2"), is_study_id("jobs"), is_study_id("a/b")
    (True, False, False)
    """
    return re.fullmatch(STUDY_ID, text, re.ASCII) is not None and text not in RESERVED


def study_id_of(source: str) -> str | None:
    """Return the id of the study at a path or URL; None if its name doesn't give a valid one.

    Examples
    --------
    >>> study_id_of("/data/pilot.zip"), study_id_of("/data/pilot_study_id/"), study_id_of("/data/notes.txt")
    ('pilot', 'pilot', None)
    """
    name = source.rstrip("/").rpartition("/")[2]
    study_id = name.removesuffix(".zip") if name.endswith(".zip") else name.removesuffix(FOLDER_SUFFIX)
    return study_id if study_id != name and is_study_id(study_id) else None


class StudyCatalogue:
    """The studies available to one namespace.

    Parameters
    ----------
    client : Client
        The client of the namespace; uploads are kept in its store.
    location : str, optional
        Folder or fsspec URL with the studies; None for uploads only.
    """

    def __init__(self, client: Client, location: str | None) -> None:
        self._client = client
        self._location = location
        self._store = Store.of(client.settings)
        self._study_references = references_folder(STUDY_REFERENCES, client.settings.namespace)
        self._content_references = references_folder(CONTENT_REFERENCES, client.settings.namespace)

    def all(self) -> list[Study]:
        """Return all studies, sorted by id. Raises StoreError if they can't be listed."""
        studies = {study.study_id: study for study in self._in_folder()}
        for file in self._store.files(self._study_references, recursive=False):
            if study := self._uploaded(reference_name(file.path)):
                studies[study.study_id] = study
        return [studies[study_id] for study_id in sorted(studies)]

    def find(self, study_id: str) -> str:
        """Return the source to submit for a study. Raises SourceNotFoundError, StoreError."""
        if study := self._uploaded(study_id):
            return study.source
        if self._location is not None and is_study_id(study_id):
            files, root, is_local = _open_location(self._location)
            for name, kind in ((f"{study_id}.zip", "file"), (f"{study_id}{FOLDER_SUFFIX}", "directory")):
                with suppress(FileNotFoundError):
                    if files.info(f"{root}/{name}")["type"] == kind and (is_local or kind == "file"):
                        return _source(self._location, root, is_local, name)
        raise SourceNotFoundError(
            f"There is no study {study_id!r}.", hint="GET `studies` lists the studies; POST a ZIP to add one."
        )

    def receive(self, study_id: str, stream: IO[bytes], size_bytes: int) -> str:
        """Store an uploaded ZIP as the study with this id, and return the source to submit.

        The study is listed once the upload is complete and its central directory could be read. If the study with
        this id has the same content already, the upload is discarded and that study's source returned.

        Raises
        ------
        SettingsError
            The upload is too large.
        BadArchiveError, UnsafeArchiveError
            It is not a readable ZIP, or breaks a safety limit.
        StoreError
            The store can't be written.
        """
        upload = self._receive_upload(f"{study_id}.zip", stream, size_bytes)
        source = upload.source
        try:
            open_archive(source, Options.of()).close()
        except BaseException:
            upload.abandon()
            raise
        present = self._uploaded(study_id)
        if present is not None and fingerprint(present.source) == fingerprint(source):
            upload.abandon()
            return present.source
        self._write_reference(reference_path(self._study_references, study_id), upload)
        return source

    def receive_content(self, content: str, name: str, stream: IO[bytes], size_bytes: int) -> None:
        """Store an uploaded ZIP to be submitted by its fingerprint. Raises as `receive` does.

        Its central directory is not read here; an unreadable ZIP fails as a job.
        """
        upload = self._receive_upload(name, stream, size_bytes)
        self._write_reference(reference_path(self._content_references, content), upload)

    def find_content(self, content: str) -> str:
        """Return the source to submit for an uploaded fingerprint. Raises SourceNotFoundError."""
        if study := self._read_reference(reference_path(self._content_references, content), content):
            return study.source
        raise SourceNotFoundError("The study was not uploaded, or has been removed since.", hint="Upload it.")

    def forget_content(self, content: str) -> None:
        """Stop offering the upload with this fingerprint."""
        self._store.remove(reference_path(self._content_references, content))

    def _receive_upload(self, name: str, stream: IO[bytes], size_bytes: int) -> Upload:
        """Store the stream and return the complete upload; BadArchiveError if it does not begin as a ZIP does."""
        upload = self._client.receive(name if name.lower().endswith(".zip") else f"{name}.zip", size_bytes)
        try:
            first_bytes = b""
            while chunk := stream.read(UPLOAD_CHUNK_BYTES):
                first_bytes += chunk[: max(0, 4 - len(first_bytes))]
                if len(first_bytes) == 4 and first_bytes not in ZIP_SIGNATURES:
                    break
                upload.write(upload.written_bytes, chunk)
            if first_bytes not in ZIP_SIGNATURES:
                raise BadArchiveError("The body is not a ZIP.", hint="Send the bytes of the ZIP as the body.")
            upload.finish()
        except BaseException:
            upload.abandon()
            raise
        return upload

    def _write_reference(self, path: str, upload: Upload) -> None:
        upload_path = upload.source.removeprefix(f"{self._client.settings.store_url().rstrip('/')}/")
        with self._store.create(path) as file:
            reference = {"path": upload_path, "size_bytes": upload.size_bytes, "uploaded_at": time.time()}
            file.write(json.dumps(reference).encode())

    def _uploaded(self, study_id: str) -> Study | None:
        """Return the last upload with this id, while its copy exists."""
        if not is_study_id(study_id):
            return None
        return self._read_reference(reference_path(self._study_references, study_id), study_id)

    def _read_reference(self, path: str, study_id: str) -> Study | None:
        try:
            with self._store.open(path) as file:
                reference: dict[str, Any] = json.loads(file.read())
        except FileNotFoundError:
            return None
        changed_at = self._store.changed_at(reference["path"])
        if changed_at is None:  # the copy was removed with its job, or for its age
            return None
        source = f"{self._client.settings.store_url().rstrip('/')}/{reference['path']}"
        uploaded_at = reference.get("uploaded_at", changed_at)  # that of the file may be another namespace's
        return Study(study_id, "upload", source, reference["size_bytes"], _datetime(uploaded_at))

    def _in_folder(self) -> Iterator[Study]:
        """Yield the studies of the folder, each id once."""
        if self._location is None:
            return
        files, root, is_local = _open_location(self._location)
        try:
            infos = files.ls(root, detail=True)
        except OSError as error:
            raise StoreError(
                "The folder of studies can't be read.", hint="Ask the administrator of the server."
            ) from error
        listed_ids = set()
        for info in sorted(infos, key=lambda info: str(info["type"]), reverse=True):  # files before directories
            name = info["name"].rstrip("/").rpartition("/")[2]
            study_id, is_file = study_id_of(name), info["type"] == "file"
            if study_id is None or is_file != name.endswith(".zip") or not (is_file or is_local):
                continue
            if study_id in listed_ids:
                continue
            listed_ids.add(study_id)
            yield Study(
                study_id,
                "zip" if is_file else "folder",
                _source(self._location, root, is_local, name),
                int(info["size"]) if is_file else None,
                _datetime(info["mtime"]) if isinstance(info.get("mtime"), float) else None,
            )


def _open_location(location: str) -> tuple[Any, str, bool]:
    files, root = fsspec.core.url_to_fs(location)
    files.invalidate_cache()  # studies are added and removed while the server runs
    protocols = files.protocol if isinstance(files.protocol, tuple) else (files.protocol,)
    return files, root.rstrip("/"), "file" in protocols


def _source(location: str, root: str, is_local: bool, name: str) -> str:
    return f"{root}/{name}" if is_local else f"{location.rstrip('/')}/{name}"


def _datetime(timestamp_s: float) -> datetime | None:
    return None if timestamp_s == float("inf") else datetime.fromtimestamp(timestamp_s, UTC)
