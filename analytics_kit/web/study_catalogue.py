"""Which studies are there, where does each lie, and how does an upload become one?

Of one id, what was uploaded (in the namespace of who asks) comes before `<study_id>.zip` in the folder of studies,
and that before a tree `<study_id>_study_id/` beside it, as the platform stores it.
"""

from __future__ import annotations

import hashlib
import json
import re
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
from analytics_kit.study.store.store import Store
from analytics_kit.study.store.uploads import Upload

STUDY_ID = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$"
RESERVED = ("docs", "health", "jobs", "openapi.json", "queue-status", "static", "studies", "uploads")
"""Words that stand in a study's place in other routes."""
TREE = "_study_id"
PIECE_BYTES = 1 << 20
ZIP_BEGINS = (b"PK\x03\x04", b"PK\x05\x06")
"""Of a ZIP, and of one without members."""

Kind = Literal["upload", "zip", "folder"]


@dataclass(frozen=True, slots=True)
class Study:
    """A study as it is listed; the size of a folder is not told. `source` is what to submit."""

    study_id: str
    kind: Kind
    source: str
    size_bytes: int | None = None
    changed_at: datetime | None = None


def is_study_id(text: str) -> bool:
    """Whether a study can have this id."""
    return re.fullmatch(STUDY_ID, text, re.ASCII) is not None and text not in RESERVED


def study_id_of(source: str) -> str | None:
    """The id of the study that lies there; None where its name is no id."""
    name = source.rstrip("/").rpartition("/")[2]
    found = name.removesuffix(".zip") if name.endswith(".zip") else name.removesuffix(TREE)
    return found if found != name and is_study_id(found) else None


class Catalogue:
    """The studies that one namespace sees. `place` is a folder or an fsspec URL, None where there is none."""

    def __init__(self, client: Client, place: str | None) -> None:
        self._client = client
        self._place = place
        self._store = Store.of(client.settings)
        who = hashlib.sha256(client.settings.namespace.encode()).hexdigest()[:32]
        self._notes = f"studies/{who}"
        self._contents = f"contents/{who}"

    def all(self) -> list[Study]:
        """All studies, by id. Raises StoreError where they can't be listed."""
        found = {study.study_id: study for study in self._placed()}
        for file in self._store.files(self._notes, below=False):
            study_id = file.path.rpartition("/")[2].removesuffix(".json")
            if study := self._uploaded(study_id):
                found[study_id] = study
        return [found[study_id] for study_id in sorted(found)]

    def find(self, study_id: str) -> str:
        """What to submit for a study. Raises SourceNotFoundError, StoreError."""
        if study := self._uploaded(study_id):
            return study.source
        if self._place is not None and is_study_id(study_id):
            files, root, local = _opened(self._place)
            for name, what in ((f"{study_id}.zip", "file"), (f"{study_id}{TREE}", "directory")):
                with suppress(FileNotFoundError):
                    if files.info(f"{root}/{name}")["type"] == what and (local or what == "file"):
                        return _source(self._place, root, local, name)
        raise SourceNotFoundError(
            f"There is no study {study_id!r}.", hint="`studies` lists those that are there; POST a ZIP to add one."
        )

    def receive(self, study_id: str, stream: IO[bytes], size_bytes: int) -> str:
        """Take in the ZIP that comes from `stream`, and from then on offer it as the study; what to submit.

        Nobody sees it before it has come completely and its directory was read. The same content as before changes
        nothing. Raises SettingsError when it is too large, BadArchiveError, UnsafeArchiveError and StoreError.
        """
        upload = self._taken(f"{study_id}.zip", stream, size_bytes)
        source = upload.source
        try:
            open_archive(source, Options.of()).close()
        except BaseException:
            upload.abandon()
            raise
        before = self._uploaded(study_id)
        if before is not None and fingerprint(before.source) == fingerprint(source):
            upload.abandon()
            return before.source
        self._note(f"{self._notes}/{study_id}.json", upload)
        return source

    def keep(self, content: str, name: str, stream: IO[bytes], size_bytes: int) -> None:
        """Take in the ZIP that comes from `stream` for who then asks for it by its content. Raises as `receive`.

        Whether it can be read is for its job to say.
        """
        self._note(f"{self._contents}/{content}.json", self._taken(name, stream, size_bytes))

    def kept(self, content: str) -> str:
        """What to submit for the content that was uploaded. Raises SourceNotFoundError where it is not there."""
        if study := self._noted(f"{self._contents}/{content}.json", content):
            return study.source
        raise SourceNotFoundError("The study was not uploaded, or is gone again.", hint="Upload it.")

    def forget(self, content: str) -> None:
        """Offer what was uploaded as this content no more."""
        self._store.remove(f"{self._contents}/{content}.json")

    def _taken(self, name: str, stream: IO[bytes], size_bytes: int) -> Upload:
        """A copy of what comes, which is complete and begins as a ZIP does."""
        upload = self._client.receive(name if name.lower().endswith(".zip") else f"{name}.zip", size_bytes)
        try:
            begin = b""
            while piece := stream.read(PIECE_BYTES):
                begin += piece[: max(0, 4 - len(begin))]
                if len(begin) == 4 and begin not in ZIP_BEGINS:
                    break
                upload.write(upload.written_bytes, piece)
            if begin not in ZIP_BEGINS:
                raise BadArchiveError("What was sent is no ZIP.", hint="Send the bytes of the ZIP as the body.")
            upload.finish()
        except BaseException:
            upload.abandon()
            raise
        return upload

    def _note(self, place: str, upload: Upload) -> None:
        path = upload.source.removeprefix(f"{self._client.settings.store_url().rstrip('/')}/")
        with self._store.create(place) as file:
            file.write(json.dumps({"path": path, "size_bytes": upload.size_bytes}).encode())

    def _uploaded(self, study_id: str) -> Study | None:
        """The study as it was uploaded last, as long as that copy is there."""
        return self._noted(f"{self._notes}/{study_id}.json", study_id) if is_study_id(study_id) else None

    def _noted(self, place: str, study_id: str) -> Study | None:
        try:
            with self._store.open(place) as file:
                note: dict[str, Any] = json.loads(file.read())
        except FileNotFoundError:
            return None
        changed_at = self._store.changed_at(note["path"])
        if changed_at is None:  # it went with its job, or with its age
            return None
        source = f"{self._client.settings.store_url().rstrip('/')}/{note['path']}"
        return Study(study_id, "upload", source, note["size_bytes"], _time(changed_at))

    def _placed(self) -> Iterator[Study]:
        """The studies in the folder, each once."""
        if self._place is None:
            return
        files, root, local = _opened(self._place)
        try:
            found = files.ls(root, detail=True)
        except OSError as error:
            raise StoreError("The folder of studies can't be read.", hint="Ask who runs the server.") from error
        zips = set()
        for info in sorted(found, key=lambda info: str(info["type"]), reverse=True):  # files before directories
            name = info["name"].rstrip("/").rpartition("/")[2]
            study_id, is_file = study_id_of(name), info["type"] == "file"
            if study_id is None or is_file != name.endswith(".zip") or not (is_file or local) or study_id in zips:
                continue
            zips.add(study_id)
            yield Study(
                study_id,
                "zip" if is_file else "folder",
                _source(self._place, root, local, name),
                int(info["size"]) if is_file else None,
                _time(info["mtime"]) if isinstance(info.get("mtime"), float) else None,
            )


def _opened(place: str) -> tuple[Any, str, bool]:
    files, root = fsspec.core.url_to_fs(place)
    files.invalidate_cache()  # studies come and go
    protocols = files.protocol if isinstance(files.protocol, tuple) else (files.protocol,)
    return files, root.rstrip("/"), "file" in protocols


def _source(place: str, root: str, local: bool, name: str) -> str:
    return f"{root}/{name}" if local else f"{place.rstrip('/')}/{name}"


def _time(seconds: float) -> datetime | None:
    return None if seconds == float("inf") else datetime.fromtimestamp(seconds, UTC)
