"""Where results are kept: a folder or object store, by fsspec, written so that a reader sees all or nothing."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import fsspec

from analytics_kit.errors import StoreError
from analytics_kit.settings import without_secrets

MANIFEST = "manifest.json"


class Store:
    """Files below a root, by relative paths with forward slashes. What has no manifest is not there for readers."""

    def __init__(self, url: str) -> None:
        self.name = without_secrets(url)
        """The URL as it may be shown."""
        try:
            self._fs, self._root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise StoreError(f"{self.name} is no place for a store: {error}.") from error
        self._local = "file" in (self._fs.protocol if isinstance(self._fs.protocol, tuple) else (self._fs.protocol,))

    def _path(self, path: str) -> str:
        return f"{self._root}/{path}" if path else self._root

    def _shown(self, path: str) -> str:
        return f"{self.name}/{path}"

    @contextmanager
    def create(self, path: str) -> Iterator[IO[bytes]]:
        """A new file to write to; its folder is made."""
        with _said(self._shown(path)):
            target = self._path(path)
            if self._local:
                self._fs.makedirs(target.rpartition("/")[0], exist_ok=True)
            with self._fs.open(target, "wb") as file:
                yield file

    @contextmanager
    def open(self, path: str) -> Iterator[IO[bytes]]:
        """A file to read from. Raises FileNotFoundError."""
        with _said(self._shown(path)):
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
        if not self._local:  # an object store shows a PUT when it is complete
            with self.create(path) as file:
                file.write(text)
            return
        with _said(self._shown(path)):
            target = Path(self._path(path))
            target.parent.mkdir(parents=True, exist_ok=True)
            beside = target.with_name(f".{MANIFEST}.{os.getpid()}")
            with beside.open("wb") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(target)

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
        with _said(self._shown(prefix)):
            self._fs.invalidate_cache(path)  # others write here too
            try:
                found = self._fs.ls(path, detail=True)
            except FileNotFoundError:
                return []
            return [info["name"].rstrip("/").rpartition("/")[2] for info in found if info["type"] == "directory"]

    def delete(self, prefix: str) -> None:
        """Remove all below `prefix`, the manifest first, so that no reader starts on what is going."""
        with _said(self._shown(prefix)):
            for path in (f"{prefix}/{MANIFEST}", prefix):
                if self._fs.exists(self._path(path)):
                    self._fs.rm(self._path(path), recursive=True)

    def check(self) -> None:
        """Write and remove a small file. Raises StoreError where that can't be done."""
        probe = f".probe-{os.getpid()}-{secrets.token_hex(4)}"
        with self.create(probe) as file:
            file.write(b"ok")
        with _said(self._shown(probe)):
            self._fs.rm(self._path(probe))


@contextmanager
def _said(where: str) -> Iterator[None]:
    """Turn what the file system says into a StoreError that names the place."""
    try:
        yield
    except OSError as error:
        raise StoreError(f"The store can't be used at {where}: {error.strerror or error}.") from error
