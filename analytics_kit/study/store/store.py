"""Where results are kept: a folder or object store, by fsspec, written so that a reader sees all or nothing."""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import IO, Any, NamedTuple, Self, cast

import fsspec

from analytics_kit.errors import StoreError
from analytics_kit.settings import Settings, without_secrets
from analytics_kit.study.store.atomic_write import local_file, remote_file, said, sync_files, sync_folder

MANIFEST = "manifest.json"
ID = "store.id"
PROBE = ".probe-"
_TIMES = ("mtime", "LastModified", "last_modified", "updated", "created")


class Stored(NamedTuple):
    """A file of the store, and when it was last written in seconds since 1970; infinity where that is unknown."""

    path: str
    size_bytes: int
    changed_at: float


class Store:
    """Files below a root, by relative paths with forward slashes. What has no manifest is not there for readers.

    Parameters
    ----------
    url : a folder or an fsspec URL.
    private : make the root for its owner only, which guards what is below it; else the umask decides.
    """

    def __init__(self, url: str, private: bool = False) -> None:
        self.name = without_secrets(url)
        """The URL as it may be shown."""
        try:
            self._fs, self._root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise StoreError(f"{self.name} is no place for a store: {error}.") from error
        self._local = "file" in (self._fs.protocol if isinstance(self._fs.protocol, tuple) else (self._fs.protocol,))
        self._private = private
        self._unsynced: list[Path] = []

    @classmethod
    def of(cls, settings: Settings, url: str | None = None) -> Self:
        """The store of the settings, or the one at `url` that a job names; the default one is private."""
        url = settings.store_url() if url is None else url
        return cls(url, private=url == settings.default_store())

    def _path(self, path: str) -> str:
        return f"{self._root}/{path}" if path else self._root

    def _shown(self, path: str) -> str:
        return f"{self.name}/{path}" if path else self.name

    @contextmanager
    def create(self, path: str, *, safe: bool = True) -> Iterator[IO[bytes]]:
        """A new file to write to; its folder is made.

        It is there when the block has ended well; else what was there before still is, which an object store may
        lose. The next `commit` makes its bytes safe from a loss of power; `safe=False` is for files that nobody will
        miss. Errors of writing are StoreErrors; others in the block stay what they are.
        """
        with self._created(path, safe=False) as file:
            yield file
        if self._local and safe:
            self._unsynced.append(Path(self._path(path)))

    def _created(self, path: str, safe: bool) -> AbstractContextManager[IO[bytes]]:
        where, target = self._shown(path), self._path(path)
        if self._local:
            return local_file(Path(target), where, self._make_root, safe)
        return remote_file(self._fs, target, where)

    def _make_root(self) -> None:
        root = Path(self._root)
        if self._private and not root.exists():
            root.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            root.mkdir(mode=0o700, exist_ok=True)

    @contextmanager
    def open(self, path: str) -> Iterator[IO[bytes]]:
        """A file to read from. Raises FileNotFoundError."""
        with said(self._shown(path)):
            try:
                file = self._fs.open(self._path(path), "rb")
            except FileNotFoundError as error:
                missing = error
            else:
                with file:
                    yield file
                return
        raise missing

    def commit(self, prefix: str, manifest: dict[str, Any]) -> None:
        """Make what lies below `prefix` readable, at once: the manifest is written last, or not at all."""
        text = json.dumps(manifest, ensure_ascii=False, allow_nan=False, indent=1).encode()
        path = f"{prefix}/{MANIFEST}" if prefix else MANIFEST
        paths, self._unsynced = self._unsynced, []
        with said(self._shown(prefix)):
            sync_files(paths)
        with self._created(path, safe=True) as file:
            file.write(text)
        if self._local:
            with said(self._shown(path)):
                # Makes names safe that were given before, too: a file system has one journal.
                sync_folder(Path(self._path(prefix)))

    def manifest(self, prefix: str) -> dict[str, Any] | None:
        """The manifest below `prefix`; None where nothing was committed."""
        try:
            with self.open(f"{prefix}/{MANIFEST}" if prefix else MANIFEST) as file:
                return cast(dict[str, Any], json.loads(file.read()))
        except FileNotFoundError:
            return None

    def folders(self, prefix: str) -> list[str]:
        """Names of the folders directly below `prefix`; none where there is nothing."""
        path = self._path(prefix)
        with said(self._shown(prefix)):
            self._fs.invalidate_cache(path)  # others write here too
            try:
                found = self._fs.ls(path, detail=True)
            except FileNotFoundError:
                return []
            return [info["name"].rstrip("/").rpartition("/")[2] for info in found if info["type"] == "directory"]

    def delete(self, prefix: str) -> None:
        """Remove all below `prefix`, the manifest first, so that no reader starts on what is going."""
        for path in (f"{prefix}/{MANIFEST}", prefix):
            self.remove(path)

    def remove(self, path: str) -> None:
        """Remove a file or folder, which others may be removing at the same time."""
        with said(self._shown(path)):
            for _ in range(10):
                if not self._fs.exists(self._path(path)):
                    return
                with suppress(FileNotFoundError):
                    self._fs.rm(self._path(path), recursive=True)
                    return

    def exists(self) -> bool:
        """Whether anything was ever written here."""
        with said(self.name):
            return bool(self._fs.exists(self._root))

    def check(self) -> None:
        """Write and remove a small file. Raises StoreError where that can't be done."""
        probe = f"{PROBE}{os.getpid()}-{secrets.token_hex(4)}"
        with self.create(probe, safe=False) as file:
            file.write(b"ok")
        self.remove(probe)

    def id(self, create: bool = False) -> str | None:
        """What tells this store from others, made on first use where `create` is set; None where there is none.

        On an object store the last of two who make it at the same moment wins, and both are given what is there.
        """
        found = self._read_id()
        if found is None and create:
            self._claim_id(secrets.token_hex(16).encode())
            found = self._read_id()
        return found

    def _read_id(self) -> str | None:
        try:
            with self.open(ID) as file:
                return file.read(100).decode("ascii", "replace").strip() or None
        except FileNotFoundError:
            return None

    def _claim_id(self, text: bytes) -> None:
        if self._local:
            own = f"{ID}.{secrets.token_hex(4)}"
            with self.create(own) as file:
                file.write(text)
            try:
                with suppress(FileExistsError):
                    os.link(self._path(own), self._path(ID))
                return
            except OSError:  # a file system without links: do as on an object store
                pass
            finally:
                with suppress(OSError):
                    Path(self._path(own)).unlink()
        with self.create(ID) as file:
            file.write(text)

    def require(self, store_id: str) -> None:
        """Raise StoreError unless this is the store with that id. Makes nothing."""
        found = self.id()
        if found != store_id:
            what = "there is no store" if found is None else "another store is there"
            raise StoreError(
                f"{self.name} is not the store that the job was submitted for: on this host {what}.",
                hint="Name a folder that all hosts share, or an object store, in ANALYTICS_KIT_STORE "
                "where jobs are submitted and where workers run.",
            )

    def files(self, prefix: str, below: bool = True) -> list[Stored]:
        """All files in the folder `prefix` and, with `below`, in its folders; what vanishes meanwhile is left out."""
        with said(self._shown(prefix)):
            if self._local:
                return list(self._walk(prefix, below))
            self._fs.invalidate_cache()  # others write here too
            found = self._fs.find(self._path(prefix), maxdepth=None if below else 1, detail=True)
            self._fs.invalidate_cache()
            skipped = len(self._root) + 1
            return [Stored(path[skipped:], info["size"] or 0, _changed(info)) for path, info in found.items()]

    def _walk(self, prefix: str, below: bool) -> Iterator[Stored]:
        for above, folders, names in os.walk(self._path(prefix)):
            for name in names:
                path = Path(above, name)
                with suppress(FileNotFoundError):
                    status = path.lstat()
                    yield Stored(path.relative_to(self._root).as_posix(), status.st_size, status.st_mtime)
            if not below:
                folders.clear()

    def changed_at(self, path: str) -> float | None:
        """When a file was last written or touched, in seconds since 1970; None where it is missing."""
        with said(self._shown(path)):
            if not self._local:
                self._fs.invalidate_cache()
            try:
                return _changed(self._fs.info(self._path(path)))
            except FileNotFoundError:
                return None

    def touch(self, path: str) -> None:
        """Note that a file was used, where the store can do that cheaply; never fails."""
        if self._local:
            with suppress(OSError):
                os.utime(self._path(path))

    def prune(self, prefix: str, names: re.Pattern[str]) -> None:
        """Remove empty folders: those of such names in the folder `prefix`, and those below them."""
        root = Path(self._path(prefix))
        if not self._local or not root.is_dir():  # object stores have none
            return
        with said(self._shown(prefix)):
            found = [folder for folder in root.iterdir() if names.fullmatch(folder.name)]
        for folder in found:
            for above, _, _ in os.walk(folder, topdown=False):
                with suppress(OSError):  # it is not empty, or gone
                    Path(above).rmdir()


def _changed(info: dict[str, Any]) -> float:
    """When a file was last written, as the many file systems say it."""
    for name in _TIMES:
        value = info.get(name)
        if isinstance(value, str):
            with suppress(ValueError):
                value = datetime.fromisoformat(value)
        if isinstance(value, datetime):
            return value.timestamp()
        if isinstance(value, int | float):
            return float(value)
    return float("inf")
