"""Identify the code that makes numbers, by the content of its files and the versions of the libraries it uses.

Two processes with the same hash give the same result for the same study. A release that changes only pages, panels
or figures keeps the hash, so that nothing is processed again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

PACKAGE = Path(__file__).parent
NUMBER_SOURCES = (
    "event_format.py", "model.py", "options.py", "utf8_text.py", "study/storage_errors.py",
    *(f"study/{stage}" for stage in (
        "schema", "archive", "csv", "formats", "events", "metrics", "store", "pipeline",
    )),
)  # fmt: skip
"""Files and folders of the package on which a stored number can depend."""
NUMBER_LIBRARIES = ("llvmlite", "numba", "numpy", "polars", "pyarrow")
"""Distributions that compute, parse or write numbers."""
SHOWN_DIGITS = 10
"""This many digits of a hash are enough to tell two versions apart."""


class CodeVersion(NamedTuple):
    """A version of this package, and the hash of the code with which it makes numbers.

    >>> str(CodeVersion("0.2.0", "3f2a9c81d0" + 54 * "0"))
    'analytics_kit 0.2.0 (code 3f2a9c81d0)'
    >>> str(CodeVersion("", ""))
    'an analytics_kit that gives no version'
    """

    version: str
    """Version of the package; empty for one from before versions were recorded."""
    code: str
    """Hash as 64 hexadecimal digits; empty for a version from before it was recorded."""

    def __str__(self) -> str:
        if not self.version:
            return "an analytics_kit that gives no version"
        return f"analytics_kit {self.version} (code {self.code[:SHOWN_DIGITS]})"


UNKNOWN_CODE = CodeVersion("", "")
"""That of a process or record from before versions were recorded."""


def is_newer(version: str, than: str) -> bool:
    """Return whether a version of this package is newer than another; any is newer than one that is not known.

    >>> is_newer("0.10.0", "0.9.2"), is_newer("0.2.0rc1", "0.2.0"), is_newer("0.2.0", "")
    (True, False, True)
    """
    from packaging.version import InvalidVersion, Version

    def parsed(text: str) -> Version:
        try:
            return Version(text)
        except InvalidVersion:
            return Version("0.dev0")

    return parsed(version) > parsed(than)


def result_key_of(request_key: str, code: str) -> str:
    """Return the key of the result that the code with this hash gives for a request, as SHA-256 in hexadecimal."""
    return hashlib.sha256(f"{request_key} {code}".encode()).hexdigest()


@cache
def code_version() -> CodeVersion:
    """Return the version of the code that this process runs, as it was when it was first needed."""
    return read_code_version()


def read_code_version(package: Path = PACKAGE) -> CodeVersion:
    """Return the version of the code as it is on disk now, which an upgrade may have changed since it was loaded.

    Raises OSError where files are missing, such as in the middle of an upgrade.
    """
    found = re.search(r'^__version__ = "([^"]+)"', (package / "__init__.py").read_text(encoding="utf-8"), re.M)
    return CodeVersion(
        found[1] if found else "unknown", hash_sources(NUMBER_SOURCES, library_versions(NUMBER_LIBRARIES), package)
    )


def hash_sources(sources: Iterable[str], others: Iterable[str] = (), package: Path = PACKAGE) -> str:
    """Return a hash of the content of files and folders of the package, and of other texts that matter."""
    digest = hashlib.sha256()
    for path in source_files(sources, package):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(package).as_posix()} {len(content)}\n".encode() + content)
    digest.update("\n".join(others).encode())
    return digest.hexdigest()


def source_files(sources: Iterable[str], package: Path = PACKAGE) -> Iterator[Path]:
    """Yield the Python files that `sources` name, in an order that is the same everywhere."""
    for source in sources:
        path = package / source
        yield from sorted(path.rglob("*.py")) if path.suffix != ".py" else [path]


def library_versions(names: Iterable[str]) -> list[str]:
    """Return name and version of each distribution.

    >>> library_versions(["no such distribution"])
    ['no such distribution None']
    """
    return [f"{name} {_installed_version(name)}" for name in names]


def _installed_version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def versions_report(
    supervisor: CodeVersion | None = None, workers: Mapping[CodeVersion, int] | None = None
) -> dict[str, Any]:
    """Return the versions of this process, of a supervisor, and of workers with their number, for `health()`."""
    return {
        "client": code_version()._asdict(),
        "supervisor": None if supervisor is None else supervisor._asdict(),
        "workers": [{**code._asdict(), "workers": count} for code, count in sorted((workers or {}).items())],
    }
