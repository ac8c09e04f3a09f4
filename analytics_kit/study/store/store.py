"""Read and write a store, a folder or an object store by fsspec, so that a reader sees all of a result or nothing."""

from __future__ import annotations

import copy
import filecmp
import io
import json
import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple, Self, TypeVar, cast

import fsspec

from analytics_kit.errors import StoreError
from analytics_kit.settings import Settings, without_secrets
from analytics_kit.study.storage_errors import Remedy, remedy_of, retried
from analytics_kit.study.store.atomic_write import local_file, remote_file, store_errors, sync_files, sync_folder
from analytics_kit.study.store.paths import PROBE_PREFIX, STORE_ID, manifest_path
from analytics_kit.study.store.remote_file import open_remote

T = TypeVar("T")

_MODIFIED = ("mtime", "LastModified", "last_modified", "updated", "created")
"""Names that file systems give to the time of the last change, in this order."""


class StoredFile(NamedTuple):
    """A file of the store. `changed_at` is in seconds since 1970, infinity where the file system has no such time.

    Files with the same `content_id` are stored once; None where that is unknown.
    """

    path: str
    size_bytes: int
    changed_at: float
    content_id: tuple[int, int] | None = None


class Store:
    """Files below a root, named by relative paths with forward slashes.

    Readers see only folders that have a manifest. Methods raise StoreError where the store can't be used.

    Parameters
    ----------
    url : str
        A folder or an fsspec URL.
    private : bool
        Make the root readable by its owner only, which guards all below it; else the umask decides.

    Examples
    --------
    >>> store = Store("memory://doctest")
    >>> with store.create("results/key/job/trials.parquet") as file:
    ...     _ = file.write(b"PAR1")
    >>> store.manifest("results/key/job") is None
    True
    >>> store.commit("results/key/job", {"schema_version": 3})
    >>> store.manifest("results/key/job")
    {'schema_version': 3}
    """

    def __init__(self, url: str, private: bool = False) -> None:
        self.name = without_secrets(url)
        """The URL without secrets, for messages."""
        try:
            self._fs, self._root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise StoreError(f"{self.name} can't hold a store: {error}.") from error
        self._local = "file" in (self._fs.protocol if isinstance(self._fs.protocol, tuple) else (self._fs.protocol,))
        self._private = private
        self._unsynced: list[Path] = []
        self._patience_s: float | None = None

    @classmethod
    def of(cls, settings: Settings, url: str | None = None) -> Self:
        """Return the store of the settings, or the one at `url`; the default store is private."""
        url = settings.store_url() if url is None else url
        return cls(url, private=url == settings.default_store())

    def hurried(self) -> Self:
        """Return this store for use where it is better to fail at once than to wait for one that is away."""
        store = copy.copy(self)
        store._patience_s, store._unsynced = 0.0, []
        return store

    def _path(self, path: str) -> str:
        return f"{self._root}/{path}" if path else self._root

    def _location(self, path: str) -> str:
        return f"{self.name}/{path}" if path else self.name

    def _errors(self, path: str) -> AbstractContextManager[None]:
        """Translate the errors of this store in the block."""
        return store_errors(self._location(path), foreign=not self._local)

    def _do(self, path: str, action: Callable[[], T]) -> T:
        """Return what an action on `path` returns; it is repeated while its errors may pass."""
        with self._errors(path):
            return retried(action, self._patience_s)

    def _fresh(self, path: str) -> str:
        """Return the location of `path` for the file system, which forgets what it knew: others write too."""
        location = self._path(path)
        if not self._local:
            self._fs.invalidate_cache(location)
        return location

    @contextmanager
    def create(self, path: str, *, durable: bool = True) -> Iterator[IO[bytes]]:
        """Open a new file for writing, and make its folder.

        The file appears when the block ends without an error; else an earlier file of that path stays, which an
        object store may lose. The next `commit` syncs its bytes to the disk, unless `durable` is False, which is for
        files that can be lost. Errors of writing become StoreErrors; other errors in the block pass unchanged.
        """
        with self._writer(path, durable=False) as file:
            yield file
        if self._local and durable:
            self._unsynced.append(Path(self._path(path)))

    def _writer(self, path: str, durable: bool) -> AbstractContextManager[IO[bytes]]:
        location, target = self._location(path), self._path(path)
        if self._local:
            return local_file(Path(target), location, self._make_root, durable)
        return remote_file(self._fs, target, location, self._patience_s)

    def _make_root(self) -> None:
        root = Path(self._root)
        if self._private and not root.exists():
            root.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            root.mkdir(mode=0o700, exist_ok=True)

    @contextmanager
    def open(self, path: str) -> Iterator[IO[bytes]]:
        """Open a file for reading. Raises FileNotFoundError."""
        missing = None
        with self._errors(path):
            try:
                file = self._open(path)
            except FileNotFoundError as error:
                if remedy_of(error) is not Remedy.LOOK:
                    raise
                missing = error
        if missing is not None:
            raise missing
        with store_errors(self._location(path)), file:
            yield file

    def _open(self, path: str) -> IO[bytes]:
        if self._local:
            return cast(IO[bytes], retried(lambda: self._fs.open(self._path(path), "rb"), self._patience_s))
        size = retried(lambda: self._fs.info(self._fresh(path))["size"], self._patience_s)
        fetch = partial(self._do, path)
        if size is None:
            return io.BytesIO(fetch(lambda: self._fs.cat_file(self._path(path))))
        return cast(IO[bytes], open_remote(self._fs, self._path(path), size, fetch))

    def commit(self, prefix: str, manifest: dict[str, Any]) -> None:
        """Make all below `prefix` readable at once: sync its files, then write the manifest."""
        # The escapes are those of JSON, so that a name that is not UTF-8 is read as it was.
        text = json.dumps(manifest, ensure_ascii=False, allow_nan=False, indent=1).encode(errors="backslashreplace")
        path = manifest_path(prefix)
        paths, self._unsynced = self._unsynced, []
        with store_errors(self._location(prefix)):
            sync_files(paths)
        with self._writer(path, durable=True) as file:
            file.write(text)
        if self._local:
            with store_errors(self._location(path)):
                # This makes earlier renames durable too: a file system has one journal.
                sync_folder(Path(self._path(prefix)))

    def manifest(self, prefix: str) -> dict[str, Any] | None:
        """Return the manifest below `prefix`; None where nothing was committed."""
        try:
            with self.open(manifest_path(prefix)) as file:
                return cast(dict[str, Any], json.loads(file.read()))
        except FileNotFoundError:
            return None

    def folders(self, prefix: str) -> list[str]:
        """Return the names of the folders directly below `prefix`."""

        def listed() -> list[str]:
            try:
                entries = self._fs.ls(self._fresh(prefix), detail=True)
            except FileNotFoundError:
                return []
            return [info["name"].rstrip("/").rpartition("/")[2] for info in entries if info["type"] == "directory"]

        return self._do(prefix, listed)

    def delete(self, prefix: str) -> None:
        """Remove all below `prefix`, the manifest first, so that no reader starts on files that are being removed."""
        for path in (manifest_path(prefix), prefix):
            self.remove(path)

    def remove(self, path: str) -> None:
        """Remove a file or folder, which other processes may be removing at the same time."""

        def removed() -> None:
            for _ in range(10):
                if not self._fs.exists(self._fresh(path)):
                    return
                with suppress(FileNotFoundError):
                    self._fs.rm(self._path(path), recursive=True)
                    return

        self._do(path, removed)

    def exists(self) -> bool:
        """Return whether anything was ever written to the store."""
        return self._do("", lambda: bool(self._fs.exists(self._fresh(""))))

    def check(self) -> None:
        """Write and remove a small file. Raises StoreError where that fails."""
        probe = f"{PROBE_PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
        with self.create(probe, durable=False) as file:
            file.write(b"ok")
        self.remove(probe)

    def id(self, create: bool = False) -> str | None:
        """Return the id of this store, which no other store has; None where there is none and `create` is not set.

        Of two processes that make it at the same moment on an object store the last one wins; both then read its id.
        """
        found = self._read_id()
        if found is None and create:
            self._claim_id(secrets.token_hex(16).encode())
            found = self._read_id()
        return found

    def _read_id(self) -> str | None:
        try:
            with self.open(STORE_ID) as file:
                return file.read(100).decode("ascii", "replace").strip() or None
        except FileNotFoundError:
            return None

    def _claim_id(self, text: bytes) -> None:
        if self._local:
            candidate = f"{STORE_ID}.{secrets.token_hex(4)}"
            with self._writer(candidate, durable=True) as file:
                file.write(text)
            try:
                with suppress(FileExistsError):
                    os.link(self._path(candidate), self._path(STORE_ID))
                return
            except OSError:  # a file system without links: write it as on an object store
                pass
            finally:
                with suppress(OSError):
                    Path(self._path(candidate)).unlink()
        with self.create(STORE_ID) as file:
            file.write(text)

    def require(self, store_id: str) -> None:
        """Raise StoreError unless this store has the id `store_id`. Makes nothing."""
        found = self.id()
        if found != store_id:
            what = "there is no store" if found is None else "another store is there"
            raise StoreError(
                f"{self.name} is not the store that the job was submitted for: on this host {what}.",
                hint="Name a folder that all hosts share, or an object store, in ANALYTICS_KIT_STORE "
                "where jobs are submitted and where workers run.",
            )

    def files(self, prefix: str, recursive: bool = True) -> list[StoredFile]:
        """Return the files in a folder and, with `recursive`, below it, without those that vanish meanwhile."""

        def found() -> list[StoredFile]:
            if self._local:
                return list(self._walk(prefix, recursive))
            self._fs.invalidate_cache()  # other processes write here too
            files = self._fs.find(self._path(prefix), maxdepth=None if recursive else 1, detail=True)
            self._fs.invalidate_cache()
            skipped = len(self._root) + 1
            return [StoredFile(path[skipped:], info["size"] or 0, _changed(info)) for path, info in files.items()]

        return self._do(prefix, found)

    def _walk(self, prefix: str, recursive: bool) -> Iterator[StoredFile]:
        for above, folders, names in os.walk(self._path(prefix)):
            for name in names:
                path = Path(above, name)
                with suppress(FileNotFoundError):
                    status = path.lstat()
                    yield StoredFile(
                        path.relative_to(self._root).as_posix(),
                        status.st_size,
                        status.st_mtime,
                        (status.st_dev, status.st_ino),
                    )
            if not recursive:
                folders.clear()

    def changed_at(self, path: str) -> float | None:
        """Return when a file was last written or touched, in seconds since 1970; None where it is missing."""

        def changed() -> float | None:
            try:
                return _changed(self._fs.info(self._fresh(path)))
            except FileNotFoundError:
                return None

        return self._do(path, changed)

    def now_s(self) -> float:
        """Return the time of the store's own clock: that of a small file which is written and removed.

        Infinity where the file system has no times. Raises StoreError where the store can't be written.
        """
        probe = f"{PROBE_PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
        with self.create(probe, durable=False):
            pass
        try:
            now = self.changed_at(probe)
        finally:
            self.remove(probe)
        return float("inf") if now is None else now

    def share(self, path: str, other: str) -> bool:
        """Let two equal files be stored once, where the store can do that; return whether they are now.

        Each is still removed on its own. `other` keeps its name, and both the later time of change.
        """
        if not self._local:
            return False
        first, second = Path(self._path(path)), Path(self._path(other))
        beside = second.with_name(f"{second.name}.{secrets.token_hex(4)}~")
        try:
            if not filecmp.cmp(first, second, shallow=False):
                return False
            changed_at = max(first.stat().st_mtime, second.stat().st_mtime)
            os.link(first, beside)
            beside.replace(second)
            os.utime(second, (changed_at, changed_at))
        except OSError:  # one of them is being removed, or the file system has no links
            with suppress(OSError):
                beside.unlink()
            return False
        return True

    def touch(self, path: str) -> None:
        """Mark a file as used now, where the store can do that cheaply; never fails."""
        if self._local:
            with suppress(OSError):
                os.utime(self._path(path))

    def prune(self, prefix: str, names: re.Pattern[str]) -> None:
        """Remove the empty folders in the folder `prefix` whose names match, and the empty folders below them."""
        root = Path(self._path(prefix))
        if not self._local or not root.is_dir():  # object stores have none
            return
        with store_errors(self._location(prefix)):
            found = [folder for folder in root.iterdir() if names.fullmatch(folder.name)]
        for folder in found:
            for above, _, _ in os.walk(folder, topdown=False):
                with suppress(OSError):  # it is not empty, or gone
                    Path(above).rmdir()


def _changed(info: dict[str, Any]) -> float:
    """Return when a file was last written, from what its file system calls that."""
    for name in _MODIFIED:
        value = info.get(name)
        if isinstance(value, str):
            with suppress(ValueError):
                value = datetime.fromisoformat(value)
        if isinstance(value, datetime):
            return value.timestamp()
        if isinstance(value, int | float):
            return float(value)
    return float("inf")
