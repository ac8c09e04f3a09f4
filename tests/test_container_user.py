"""Jobs of users as containers have them: without entry in passwd, home, locale and temporary folder."""

import os
import subprocess
import sys

import platformdirs
import psutil
import pytest

import analytics_kit as ak
from tests.processes import command_line

WITHOUT_PASSWD = """
import pwd

def getpwuid(uid):
    raise KeyError(f"getpwuid(): uid not found: {uid}")

pwd.getpwuid = getpwuid
"""
SUBMIT = """
import os, sys, warnings
import analytics_kit as ak

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    client = ak.connect("embedded", workers=1)
    os.chdir("/")  # a relative path means what it meant
    try:
        trials = client.submit(sys.argv[1]).result(240).trials  # compiling takes long on a busy machine
    finally:
        client.shutdown()
    settings = client.settings
    print(len(trials), ascii(str(settings.home)), ascii(settings.store_url()), settings.namespace)
print(*{str(each.message) for each in caught}, sep="\\n")
"""
NOT_INHERITED = ("ANALYTICS_KIT_", "REDIS_", "XDG_", "LC_", "JUPYTERHUB_")
USER_VARIABLES = ("HOME", "USER", "LOGNAME", "LNAME", "USERNAME", "LANG", "TMPDIR", "TEMP", "TMP")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return ak.sample_study(tmp_path_factory.mktemp("study") / "stüdy.zip", participants=1, trials=1)


@pytest.fixture
def python(tmp_path):
    """python(code, *arguments, umask=…, HOME=…) → the finished process of a user without an entry in passwd."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(WITHOUT_PASSWD)
    work = tmp_path / "wörk"
    work.mkdir()
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name not in USER_VARIABLES and not name.startswith(NOT_INHERITED)
    }
    inherited.setdefault("NUMBA_CACHE_DIR", str(platformdirs.user_cache_path("analytics_kit", False) / "kernels"))
    inherited["PYTHONPATH"] = f"{tmp_path / 'site'}:{inherited.get('PYTHONPATH', '')}"

    def run(code, *arguments, umask=-1, **environment):
        return subprocess.run(
            [sys.executable, "-c", code, *arguments],
            env=inherited | environment, cwd=work, umask=umask, capture_output=True, text=True, check=False,
        )  # fmt: skip

    yield run
    assert not [each for each in psutil.process_iter() if any(str(tmp_path) in word for word in command_line(each))]


def test_user_without_entry_in_passwd_and_home_gets_results_in_a_folder_for_temporary_files(python, study, tmp_path):
    (tmp_path / "tmp").mkdir()
    run = python(SUBMIT, str(study), TMPDIR=str(tmp_path / "tmp"))
    assert run.returncode == 0, run.stderr
    home = tmp_path / "tmp" / f"analytics_kit-{os.getuid()}"
    first, *warnings = run.stdout.splitlines()
    assert first == f"4 {str(home)!r} {str(home / 'store')!r} uid-{os.getuid()}"
    assert home.stat().st_mode & 0o777 == 0o700
    assert f"Results are kept in {home}, which may be emptied" in "\n".join(warnings)
    assert not list(tmp_path.rglob("~"))


def test_without_locale_and_temporary_folder_and_with_relative_paths_work_is_done(python, study, tmp_path):
    run = python(
        SUBMIT, str(study), umask=0o077, LANG="C", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0",
        TMPDIR=str(tmp_path / "missing"), XDG_RUNTIME_DIR=str(tmp_path / "gone"), HOME="/nonexistent",
        ANALYTICS_KIT_HOME="höme", ANALYTICS_KIT_STORE="störe",
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    work = tmp_path / "wörk"
    assert sorted(path.name for path in work.iterdir()) == ["höme", "störe"]
    assert (work / "störe" / "results").is_dir()
    assert run.stdout.startswith("4 ")
    assert "missing" not in {path.name for path in tmp_path.iterdir()}


@pytest.mark.parametrize("variable", ["ANALYTICS_KIT_HOME", "ANALYTICS_KIT_STORE"])
def test_tilde_of_a_user_without_home_is_refused_by_name(python, study, tmp_path, variable):
    run = python(SUBMIT, str(study), TMPDIR=str(tmp_path), **{variable: "~/kit"})
    assert run.returncode == 1
    assert "~/kit can't be found: ~ stands for no folder, since HOME is not set" in run.stderr
    assert not list((tmp_path / "wörk").iterdir())


def test_home_that_can_not_be_written_is_refused_by_name(python, study, tmp_path):
    (tmp_path / "file").touch()
    run = python(SUBMIT, str(study), HOME=str(tmp_path / "file"))
    assert run.returncode == 1
    assert f"The folder {tmp_path / 'file'}" in run.stderr
    assert "Set ANALYTICS_KIT_HOME to a writable folder." in run.stderr
