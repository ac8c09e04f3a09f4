"""Open a study that is a folder of files, or a single CSV."""

from __future__ import annotations

import hashlib
import os
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from analytics_kit.study.archive.base import CHUNK_BYTES, Archive, Member
from analytics_kit.study.archive.byte_range import changed
from analytics_kit.study.storage_errors import retried, storage_error
from analytics_kit.utf8_text import utf8_text


class FolderArchive(Archive):
    """A study of loose files. A link is followed if it stays inside the folder, or is itself the source."""

    def __init__(self, path: Path) -> None:
        super().__init__(utf8_text(str(path)), 0)
        self._path = path
        self._root = path if path.is_dir() else path.parent

    def list_members(self) -> None:
        """See Archive."""
        path = self._path
        for file in self._below(path) if path.is_dir() else [path]:
            name = self._name(file)
            if not name.isascii() and self._file(name) != file:
                self.issues.append((name, "name_encoding", "another file has the name that was guessed for this one"))
                continue
            try:
                status = file.lstat()
                if stat.S_ISLNK(status.st_mode) and (file == path or self._stays_inside(file)):
                    status = file.stat()
            except FileNotFoundError:
                if file == path:
                    raise
                raise changed(str(file)) from None
            except OSError as error:
                raise storage_error(error, f"{file} can't be read") from error
            if stat.S_ISLNK(status.st_mode):
                self.issues.append((name, "link", "a link that leads out of the folder; it was left out"))
            elif stat.S_ISDIR(status.st_mode):
                self.folders.append(name)
            elif stat.S_ISREG(status.st_mode):
                size, written = status.st_size, str(status.st_mtime_ns)
                self.members.append(Member(name, size, size, 0, zipfile.ZIP_STORED, False, 0, 0, written))
        self.size_bytes = sum(member.raw_bytes for member in self.members)

    def fingerprint(self) -> str:
        """See Archive."""
        digest = hashlib.sha256()
        for m in self.members:
            digest.update(f"{m.name}\0{m.raw_bytes}\0{m.changed}\n".encode("utf-8", "surrogatepass"))
        return digest.hexdigest()

    def _below(self, path: Path) -> list[Path]:
        """Return all that the folder holds. Raises StoreError where a folder inside it can't be listed."""

        def failed(error: OSError) -> None:
            raise storage_error(error, f"The folder {error.filename} can't be listed") from error

        return sorted(
            Path(above, name)
            for above, folders, files in os.walk(path, onerror=failed)
            for name in (*folders, *files)
        )

    def _stays_inside(self, link: Path) -> bool:
        target = link.resolve()
        return target.is_file() and target.is_relative_to(self._root.resolve())

    def _name(self, file: Path) -> str:
        raw = os.fsencode(file.relative_to(self._root).as_posix())
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            name = raw.decode("latin-1")
            self.issues.append((name, "name_encoding", "the file name is not UTF-8; it was guessed"))
            return name

    def _file(self, name: str) -> Path:
        """Return the path of a member: the reverse of `_name`."""
        path = self._root / os.fsdecode(name.encode("utf-8"))
        return path if os.path.lexists(path) else self._root / os.fsdecode(name.encode("latin-1", "replace"))

    def chunks(self, member: Member) -> Iterator[bytes]:
        """See Archive. Raises StoreError also where the file is not what it was when it was listed."""
        path, done = self._file(member.name), 0
        try:
            with retried(lambda: path.open("rb")) as file:
                while raw := _read(file, done):
                    done += len(raw)
                    yield raw
                status = os.fstat(file.fileno())
        except FileNotFoundError:
            raise changed(str(path)) from None
        except OSError as error:
            raise storage_error(error, f"{path} can't be read") from error
        if (done, str(status.st_mtime_ns)) != (member.raw_bytes, member.changed):
            raise changed(str(path))


def _read(file: IO[bytes], position: int) -> bytes:
    try:
        return file.read(CHUNK_BYTES)
    except OSError:

        def again() -> bytes:
            file.seek(position)
            return file.read(CHUNK_BYTES)

        return retried(again)
