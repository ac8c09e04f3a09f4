"""environment.yml and binder/ install what pyproject.toml and the notebooks require, and compile kernels once."""

import ast
import os
import re
import shlex
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import nbformat
import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ENVIRONMENTS = [ROOT / "environment.yml", ROOT / "binder" / "environment.yml"]


def read(path):
    """Return the environment, with pip's arguments as (flag, folder, extras): pip runs in the file's folder."""
    environment = YAML(typ="safe").load(path)
    arguments = environment["dependencies"].pop()["pip"]
    matches = [re.fullmatch(r"(-e) ([./]+)\[([\w,]+)\]", line) for line in arguments]
    assert all(matches), f"{arguments} is not only the project itself"
    return environment | {"pip": [(line[1], (path.parent / line[2]).resolve(), line[3]) for line in matches]}


@pytest.mark.parametrize("path", ENVIRONMENTS, ids=lambda path: path.parent.name)
def test_environment_installs_the_project_with_lab_and_server_and_nothing_else(path):
    """All dependencies come from pyproject.toml, where pip reads them."""
    environment = read(path)
    assert environment["pip"] == [("-e", ROOT, "lab,server")]
    assert {"lab", "server"} <= PROJECT["optional-dependencies"].keys()
    python, *others = environment["dependencies"]
    assert others == ["pip"]
    assert SpecifierSet(PROJECT["requires-python"]).contains(python.removeprefix("python="))


def test_binder_environment_equals_the_root_one():
    root, binder = map(read, ENVIRONMENTS)
    assert binder == root


def test_notebooks_import_only_declared_dependencies():
    declared = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["lab"]]
    known = {canonicalize_name(Requirement(line).name) for line in declared}
    distributions = packages_distributions()
    for notebook in (ROOT / "notebooks").glob("*.ipynb"):
        cells = [cell.source for cell in nbformat.read(notebook, 4).cells if cell.cell_type == "code"]
        for node in ast.walk(ast.parse("\n".join(cells))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            for top in {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {PROJECT["name"]}:
                assert known & {canonicalize_name(name) for name in distributions[top]}, f"{notebook.name}: {top}"


@pytest.mark.filterwarnings("ignore:pythonjsonlogger:DeprecationWarning")
def test_repo2docker_builds_from_the_binder_folder(monkeypatch):
    from repo2docker.app import Repo2Docker

    monkeypatch.chdir(ROOT)
    app = Repo2Docker()
    pack = next(pack for kind in app.buildpacks if (pack := kind(app.base_image)).detect())
    pack.platform = "linux/amd64"  # else it queries a Docker engine
    dockerfile = pack.render(build_args={})
    assert pack.python_version == read(ENVIRONMENTS[1])["dependencies"][0].removeprefix("python=")
    copied = dockerfile.index("COPY --chown=1000:1000 src/ ${REPO_DIR}/")
    installed = dockerfile.index('env update -p ${NB_PYTHON_PREFIX} --file "binder/environment.yml"')
    built = dockerfile.index("RUN ./binder/postBuild")
    assert copied < installed < built, "the project has to be there before pip installs it"
    assert 'ENV R2D_ENTRYPOINT="${REPO_DIR}/binder/start"' in dockerfile


def test_post_build_and_start_use_the_same_cpu_name(tmp_path):
    """numba looks compiled kernels up by CPU: another name would compile them again during the first job."""
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$NUMBA_CPU_NAME"\n')
    python.chmod(0o755)
    built, started = (
        subprocess.run(
            [ROOT / "binder" / name, *command],
            env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for name, command in (("postBuild", []), ("start", ["python"]))
    )
    assert built == started == "generic\n"


def test_post_build_runs_without_error():
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "NUMBA_DISABLE_JIT": "1"}  # as Python: compiling takes 10 s
    subprocess.run(shlex.split("bash binder/postBuild"), cwd=ROOT, env=environment, check=True, timeout=60)
