"""Check a built wheel and sdist: their files, their metadata, and whether the wheel works once it is installed.

`make dist` builds and checks. `python scripts/check_dist.py FOLDER` checks what was built before.
"""

from __future__ import annotations

import argparse
import configparser
import email
import importlib
import importlib.metadata
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import venv
import zipfile
from collections.abc import Iterable, Iterator
from email.message import Message
from pathlib import Path, PurePosixPath
from typing import Any

ROOT = Path(__file__).parents[1]
PACKAGE = "analytics_kit"
REQUIRED = ("__init__.pyi", "py.typed")
"""Files that a type checker needs; all others are compared with the source tree."""
ALSO_IN_SDIST = (
    "CHANGELOG.md",
    "CITATION.cff",
    "CONTRIBUTING.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "pyproject.toml",
)
NOT_SHIPPED = ("__pycache__", ".pyc", ".nbi", ".nbc")
"""Parts and endings of the names of caches."""


def package_files(root: Path = ROOT) -> set[str]:
    """Return all files of the package in the source tree, relative to the root, without caches."""
    paths = {path.relative_to(root).as_posix() for path in (root / PACKAGE).rglob("*") if path.is_file()}
    return {path for path in paths if not is_cache(path)}


def is_cache(path: str) -> bool:
    """Return whether a file is made when the package runs."""
    return NOT_SHIPPED[0] in PurePosixPath(path).parts or path.endswith(NOT_SHIPPED[1:])


def changelog_version(root: Path = ROOT) -> str | None:
    """Return the version of the changelog's first section, or None where it has no section."""
    heading = re.search(r"^## (\S+)", (root / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    return heading[1] if heading else None


def wheel_problems(wheel: Path, root: Path = ROOT) -> Iterator[str]:
    """Yield what is wrong with a wheel, compared with the source tree and pyproject.toml."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
        info = next((name.partition("/")[0] for name in sorted(names) if ".dist-info/" in name), None)
        if info is None:
            yield f"{wheel.name} has no .dist-info folder: it is not a wheel"
            return
        metadata = email.message_from_bytes(archive.read(f"{info}/METADATA"))
        entry_points = f"{info}/entry_points.txt"
        declared = archive.read(entry_points).decode() if entry_points in names else ""
    expected = package_files(root)
    found = {name for name in names if not name.startswith(f"{info}/")}
    required = {f"{PACKAGE}/{name}" for name in REQUIRED}
    yield from (f"{wheel.name} lacks {name}" for name in sorted((expected | required) - found))
    yield from (f"{wheel.name} holds {name}, which is not part of the package" for name in sorted(found - expected))
    if f"{info}/licenses/LICENSE" not in names:
        yield f"{wheel.name} holds no LICENSE"
    yield from metadata_problems(metadata, project, changelog_version(root))
    yield from entry_point_problems(declared, project)


def metadata_problems(metadata: Message, project: dict[str, Any], changelog: str | None) -> Iterator[str]:
    """Yield where a wheel's metadata disagree with pyproject.toml or with the changelog."""
    if metadata["Version"] != changelog:
        yield f"the version is {metadata['Version']}, the first section of CHANGELOG.md is {changelog}"
    extras = project["optional-dependencies"]
    expected = {"Name": project["name"], "Requires-Python": project["requires-python"]}
    for field, value in expected.items():
        if metadata[field] != value:
            yield f"{field} is {metadata[field]!r}, expected {value!r}"
    if set(metadata.get_all("Provides-Extra", [])) != set(extras):
        yield f"the extras are {metadata.get_all('Provides-Extra')}, expected {sorted(extras)}"


def entry_point_problems(declared: str, project: dict[str, Any]) -> Iterator[str]:
    """Yield entry points of pyproject.toml that `declared`, the text of entry_points.txt, does not have."""
    parser = configparser.ConfigParser(delimiters="=")
    parser.read_string(declared)
    groups = {"console_scripts": project["scripts"], **project["entry-points"]}
    for group, points in groups.items():
        for name, target in points.items():
            found = parser.get(group, name, fallback=None)
            if found != target:
                yield f"entry point {group}:{name} is {found!r}, expected {target!r}"


def sdist_problems(sdist: Path, root: Path = ROOT) -> Iterator[str]:
    """Yield files that an sdist lacks, and caches that it holds."""
    with tarfile.open(sdist) as archive:
        names = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    expected = package_files(root) | {*ALSO_IN_SDIST, "tests/conftest.py"}
    yield from (f"{sdist.name} lacks {name}" for name in sorted(expected - names))
    yield from (f"{sdist.name} holds {name}, a cache" for name in sorted(filter(is_cache, names)))


def install_problems(wheel: Path) -> Iterator[str]:
    """Install the wheel in a new environment that borrows this one's libraries; yield what does not work there."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "environment"
        builder = venv.EnvBuilder()
        builder.create(home)
        context = builder.ensure_directories(home)
        python, scripts = context.env_exe, Path(context.bin_path)
        pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index"]
        yield from failure([*pip, str(wheel)])
        site_packages = next(home.rglob("site-packages"))
        # A .pth file adds folders but does not read the .pth files in them: an editable install stays out.
        libraries = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
        (site_packages / "borrowed.pth").write_text("\n".join(libraries), encoding="utf-8")
        version = wheel.name.split("-")[1]
        yield from failure([python, "-I", __file__, "--installed", version], folder)
        yield from failure([str(scripts / "analytics-kit"), "--help"], folder)


def failure(command: list[str], folder: str | None = None) -> Iterator[str]:
    """Run a command and yield the last lines of its output if it fails."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if run.returncode:
        lines = "\n".join((run.stdout + run.stderr).splitlines()[-10:])
        yield f"`{' '.join(map(str, command))}` ended with {run.returncode}:\n{lines}"


def installed_problems(version: str) -> Iterator[str]:
    """Yield what is wrong with the package that this interpreter imports."""
    package = importlib.import_module(PACKAGE)
    if not Path(str(package.__file__)).is_relative_to(sys.prefix):
        yield f"{package.__file__} was imported, which is not in {sys.prefix}"
    metadata = importlib.metadata.version(PACKAGE)
    if not metadata == package.__version__ == version:
        yield f"the metadata's version is {metadata}, the package's {package.__version__}, the wheel's {version}"
    for name in package.__all__:
        getattr(package, name)
    for point in importlib.metadata.distribution(PACKAGE).entry_points:
        point.load()


def check(folder: Path, root: Path = ROOT) -> list[str]:
    """Return all problems of the one wheel and the one sdist in a folder."""
    wheels, sdists = sorted(folder.glob("*.whl")), sorted(folder.glob("*.tar.gz"))
    if len(wheels) != 1 or len(sdists) != 1:
        return [f"{folder} holds {len(wheels)} wheels and {len(sdists)} sdists, expected one of each"]
    return [*wheel_problems(wheels[0], root), *sdist_problems(sdists[0], root), *install_problems(wheels[0])]


def report(problems: Iterable[str]) -> int:
    """Print the problems; return the exit code."""
    problems = list(problems)
    for problem in problems:
        print(f"- {problem}", file=sys.stderr)
    return 1 if problems else 0


def main(argv: list[str] | None = None) -> int:
    """Check a folder of distributions, or the installed package."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "dist")
    parser.add_argument("--installed", metavar="VERSION", help="check the package that this interpreter imports")
    chosen = parser.parse_args(argv)
    if chosen.installed:
        return report(installed_problems(chosen.installed))
    code = report(check(chosen.folder))
    if not code:
        print(f"{chosen.folder}: wheel and sdist are complete, and the wheel works when it is installed.")
    return code


if __name__ == "__main__":
    raise SystemExit(main())
