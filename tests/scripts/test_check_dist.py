"""The checker accepts what `make dist` builds, and names what is missing from, or foreign to, a wheel or sdist."""

import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest

from scripts.check_dist import ROOT, check, package_files, sdist_problems, wheel_problems


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    """A folder with the wheel and the sdist of this tree."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return folder


@pytest.fixture
def wheel(dist):
    return next(dist.glob("*.whl"))


def rewritten(wheel, folder, leave_out=(), replace=None, add=None):
    """Copy a wheel into `folder` without some files, with others replaced (bytes → bytes) or added."""
    target = folder / wheel.name
    with zipfile.ZipFile(wheel) as source, zipfile.ZipFile(target, "w") as copy:
        for name in source.namelist():
            if not name.endswith(tuple(leave_out)):
                old, new = (replace or {}).get(name.rpartition("/")[2], (b"", b""))
                copy.writestr(name, source.read(name).replace(old, new) if old else source.read(name))
        for name, text in (add or {}).items():
            copy.writestr(name, text)
    return target


def test_check_of_what_is_built_finds_nothing(dist):
    assert check(dist) == []


def test_twine_accepts_what_is_built(dist):
    command = [sys.executable, "-m", "twine", "check", "--strict", *map(str, dist.iterdir())]
    run = subprocess.run(command, check=False, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize(
    "name",
    [
        "analytics_kit/py.typed",
        "analytics_kit/__init__.pyi",
        "analytics_kit/notebook/html_widget.js",
        "analytics_kit/web/static/page.css",
        "analytics_kit/web/templates/analytics_kit/page.html",
        *sorted(path for path in package_files() if path.endswith(".lua"))[:1],
    ],
)
def test_wheel_without_a_file_is_reported(name, wheel, tmp_path):
    assert f"{wheel.name} lacks {name}" in [*wheel_problems(rewritten(wheel, tmp_path, leave_out=[name]))]


@pytest.mark.parametrize("name", ["tests/test_docs.py", "scripts/check_dist.py", "analytics_kit/old_name.py"])
def test_wheel_with_a_foreign_file_is_reported(name, wheel, tmp_path):
    problems = [*wheel_problems(rewritten(wheel, tmp_path, add={name: ""}))]
    assert problems == [f"{wheel.name} holds {name}, which is not part of the package"]


def test_wheel_without_entry_points_is_reported(wheel, tmp_path):
    problems = [*wheel_problems(rewritten(wheel, tmp_path, leave_out=["entry_points.txt"]))]
    assert problems == [
        "entry point console_scripts:analytics-kit is None, expected 'analytics_kit.cli:main'",
        "entry point jupyter_serverproxy_servers:analytics-kit is None, expected 'analytics_kit.web.launcher:server'",
    ]


def test_wheel_without_licence_is_reported(wheel, tmp_path):
    assert [*wheel_problems(rewritten(wheel, tmp_path, leave_out=["LICENSE"]))] == [f"{wheel.name} holds no LICENSE"]


def test_wheel_of_another_version_than_the_changelog_is_reported(wheel, tmp_path):
    problems = [*wheel_problems(rewritten(wheel, tmp_path, replace={"METADATA": (b"\nVersion: ", b"\nVersion: 9.")}))]
    assert len(problems) == 1
    assert problems[0].startswith("the version is 9.")


def test_wheel_with_an_extra_less_is_reported(wheel, tmp_path):
    replace = {"METADATA": (b"Provides-Extra: s3\n", b"")}
    problems = [*wheel_problems(rewritten(wheel, tmp_path, replace=replace))]
    assert len(problems) == 1
    assert problems[0].startswith("the extras are")


def test_wheel_that_can_not_be_imported_is_reported(dist, wheel, tmp_path):
    """The files are complete, so that only the installed package shows it."""
    shutil.copy(next(dist.glob("*.tar.gz")), tmp_path)
    rewritten(wheel, tmp_path, replace={"errors.py": (b"class SettingsError", b"class OtherError")})
    problems = check(tmp_path)
    assert problems
    assert all(" ended with 1:" in problem for problem in problems)
    assert "SettingsError" in problems[0]


def test_sdist_without_a_file_or_with_a_cache_is_reported(dist, tmp_path):
    sdist = next(dist.glob("*.tar.gz"))
    with tarfile.open(sdist) as source, tarfile.open(tmp_path / sdist.name, "w:gz") as copy:
        for member in source.getmembers():
            if not member.name.endswith("/LICENSE"):
                copy.addfile(member, source.extractfile(member))
        copy.addfile(tarfile.TarInfo(f"{sdist.name.removesuffix('.tar.gz')}/tests/__pycache__/test_docs.pyc"))
    assert [*sdist_problems(tmp_path / sdist.name)] == [
        f"{sdist.name} lacks LICENSE",
        f"{sdist.name} holds tests/__pycache__/test_docs.pyc, a cache",
    ]


def test_folder_without_distributions_is_reported(tmp_path):
    assert check(tmp_path) == [f"{tmp_path} holds 0 wheels and 0 sdists, expected one of each"]
