"""Keep compiled kernels on disk, in the user's cache folder, under a key of all that went into them.

The key covers the content of all kernel sources, Python, numba, llvmlite, numpy and the processor, so an upgrade
never runs old machine code. Each entry is one file with a checksum, written beside and renamed: processes can't
disturb one another, and what is broken is compiled again. Where nothing can be written, kernels are compiled in
memory.

An entry is in numba's own serialised form, from which numba rebuilds machine code: only a folder that nobody else can
write to is read.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from numba.core import compiler, config, serialize
from numba.core.caching import NullCache
from platformdirs import user_cache_path

from analytics_kit.code_version import PACKAGE, hash_sources, library_versions
from analytics_kit.errors import SettingsError
from analytics_kit.settings import Settings

if sys.platform != "win32":
    import fcntl

KERNEL_SOURCES = (
    "event_format.py",
    "study/schema",
    "study/csv/rows.py",
    "study/csv/scan.py",
    "study/metrics",
    "study/events/table.py",
    "study/events/quality_flags.py",
    "study/events/native/fast.py",
    "study/store/event_parquet.py",
)
"""Files and folders of the package with kernels, and with the constants that are compiled into them."""
SOURCES_AT_START = hash_sources(KERNEL_SOURCES)
"""Their content as this process loads them: an upgrade may change the files before a kernel is compiled."""
KERNEL_LIBRARIES = ("llvmlite", "numba", "numpy")
COMPILER_SETTINGS = ("OPT", "LOOP_VECTORIZE", "SLP_VECTORIZE", "BOUNDSCHECK", "DEBUGINFO_DEFAULT")
"""Settings of numba (`NUMBA_OPT`, …) that change the machine code."""
HEADER = b"analytics_kit kernel 1\n"
KEY_DIGITS = 32
IN_USE = "in-use"
"""File in the folder of a key: locked by processes that use it, and touched when one begins to."""
KEPT_KEYS = 8
"""The number of folders of other keys that are kept, those last used: several environments may share the cache."""
KEPT_S = 30 * 24 * 3600.0
"""A folder that nobody has used for so long is removed."""
CACHE_ADVICE = "Make one of them writable, or name a writable folder in NUMBA_CACHE_DIR."

_numba: Any = compiler
_serialize: Any = serialize
_config: Any = config  # numba is typed in part
_open_locks: list[int] = []
"""Descriptors that hold the locks of this process, for as long as it lives."""


class KernelCache(NullCache):
    """The compiled versions of one kernel; numba's dispatcher calls it before and after it compiles."""

    def __init__(self, function: Callable[..., Any]) -> None:
        code = function.__code__
        self._name = f"{function.__module__.removeprefix('analytics_kit.')}.{function.__qualname__}"
        self._function_hash = f"{code.co_filename} {code.co_firstlineno} {code.co_code.hex()}"
        if Path(code.co_filename).is_relative_to(PACKAGE):
            self._function_hash = ""  # it is part of the key

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the stored machine code for a signature; None where there is none that can be used."""
        if not are_sources_unchanged():
            return None
        target_context.refresh()
        key = cache_key(target_context.codegen().magic_tuple())
        for folder in (root / key for root in cache_roots()):
            payload = _read(folder / self._file_name(sig))
            if payload is not None:
                with contextlib.suppress(Exception):  # whatever is wrong with it: it is compiled again
                    loaded = _numba.CompileResult._rebuild(target_context, *_serialize.loads(payload))
                    _mark_in_use(folder)
                    return loaded
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Store machine code that was just compiled, in the first folder that takes it."""
        if data.lifted or data.library.has_dynamic_globals:  # numba could not load it in another process
            return
        if not are_sources_unchanged():
            return
        payload, key = _serialize.dumps(data._reduce()), cache_key(data.codegen.magic_tuple())
        for root in cache_roots():
            with contextlib.suppress(OSError):
                is_new = _make_folder(root, key)
                _write(root / key / self._file_name(sig), payload)
                _mark_in_use(root / key)
                if is_new:
                    remove_old(root, key)
                return
        _warn_once()

    def _file_name(self, sig: Any) -> str:
        digest = hashlib.sha256(f"{sig!r} {self._function_hash}".encode()).hexdigest()
        return f"{self._name}-{digest[:16]}"


@cache
def cache_key(processor: tuple[str, ...]) -> str:
    """Return the key of all that compiled code depends on, for a processor as numba describes it."""
    compiler = [f"{name}={getattr(_config, name, None)}" for name in COMPILER_SETTINGS]
    others = [*library_versions(KERNEL_LIBRARIES), sys.version, *map(str, processor), *compiler]
    return hash_sources((), [SOURCES_AT_START, *others])[:KEY_DIGITS]


def are_sources_unchanged() -> bool:
    """Return whether the files are still those that this process began to load.

    If not, a function may be of before or after the change, and its machine code is neither loaded nor kept.
    """
    try:
        return hash_sources(KERNEL_SOURCES) == SOURCES_AT_START
    except OSError:  # in the middle of an upgrade
        return False


@cache
def cache_roots() -> list[Path]:
    """Return where compiled kernels may be kept, best first.

    That is NUMBA_CACHE_DIR if it is set, else the user's cache folder, and a folder below `ANALYTICS_KIT_HOME`, which
    may be the only place that can be written.
    """
    if _config.CACHE_DIR:
        return [Path(_config.CACHE_DIR).absolute() / "analytics_kit"]
    roots = []
    with contextlib.suppress(RuntimeError, KeyError):  # no home folder is known
        roots.append(user_cache_path("analytics_kit", appauthor=False) / "kernels")
    with contextlib.suppress(RuntimeError, KeyError, SettingsError):
        roots.append(Settings.of().home.expanduser() / "cache" / "kernels")
    # Without a home folder `~` stays in the path, and would become a folder of that name.
    return [root for root in dict.fromkeys(roots) if root.is_absolute() and "~" not in root.parts]


def writable_root() -> Path | None:
    """Return the folder in which compiled kernels are kept; None where none can be written."""
    for root in cache_roots():
        with contextlib.suppress(OSError):
            _make_folder(root)
            tempfile.TemporaryFile(dir=root).close()
            return root
    return None


def remove_old(root: Path, key: str) -> None:
    """Remove the folders of other keys, but for those that a process uses, and those used last.

    What versions up to 0.1.0 left beside the sources goes too.
    """
    others = [folder for folder in root.iterdir() if len(folder.name) == KEY_DIGITS and folder.name != key]
    others.sort(key=_used_at, reverse=True)
    for rank, folder in enumerate(others):
        if rank >= KEPT_KEYS or time.time() - _used_at(folder) > KEPT_S:
            with contextlib.suppress(OSError), _locked_alone(folder) as is_unused:
                if is_unused:
                    shutil.rmtree(folder, ignore_errors=True)
    for pattern in ("*.nbi", "*.nbc"):
        for stale in PACKAGE.rglob(f"__pycache__/{pattern}"):
            with contextlib.suppress(OSError):
                stale.unlink()


def _read(path: Path) -> bytes | None:
    """Return the content of an entry; None where it is missing, damaged, or could have been written by anybody."""
    with contextlib.suppress(OSError):
        if not _is_trusted(path.parent):
            return None
        raw = path.read_bytes()
        start = len(HEADER) + hashlib.sha256().digest_size
        if raw.startswith(HEADER) and raw[len(HEADER) : start] == hashlib.sha256(raw[start:]).digest():
            return raw[start:]
    return None


def _write(path: Path, payload: bytes) -> None:
    descriptor, temporary = tempfile.mkstemp(prefix=".", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(HEADER + hashlib.sha256(payload).digest() + payload)
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise


def _make_folder(root: Path, key: str = "") -> bool:
    """Make the folder of a key; return whether it is new. Raises OSError where others could put code into it."""
    is_new = not (root / key).is_dir()
    (root / key).mkdir(mode=0o700, parents=True, exist_ok=True)
    if not _is_trusted(root / key):
        raise PermissionError(f"{root / key} can be written by others")
    return is_new


def _is_trusted(folder: Path) -> bool:
    """Return whether a folder belongs to this user or to root, and not everybody can write to it."""
    status = folder.stat()
    return not hasattr(os, "getuid") or (status.st_uid in (os.getuid(), 0) and not status.st_mode & 0o002)


@cache
def _mark_in_use(folder: Path) -> None:
    """Keep the folder from being removed for as long as this process, or one forked from it, lives."""
    if sys.platform == "win32":
        return
    with contextlib.suppress(OSError):  # read-only, or without locks: then its age alone counts
        descriptor = os.open(folder / IN_USE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        _open_locks.append(descriptor)
        os.utime(descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)


@contextlib.contextmanager
def _locked_alone(folder: Path) -> Iterator[bool]:
    """Lock a folder against new users; yields False where a process uses it."""
    descriptor = os.open(folder / IN_USE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def _used_at(folder: Path) -> float:
    for path in (folder / IN_USE, folder):
        with contextlib.suppress(OSError):
            return path.stat().st_mtime
    return 0.0


@cache
def _warn_once() -> None:
    folders = ", ".join(map(str, cache_roots())) or "none is known"
    warnings.warn(
        f"Compiled kernels can't be kept on disk (folders tried: {folders}). Each process compiles them for itself, "
        f"which takes about ten seconds. {CACHE_ADVICE}",
        RuntimeWarning,
        stacklevel=2,
    )
