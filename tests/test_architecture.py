"""The shape of the package: who may import whom, what is public, and what importing it costs."""

import ast
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import analytics_kit

PACKAGE = Path(analytics_kit.__file__).parent
ROOT = PACKAGE.parent
FLOORS = {
    "errors": 0, "model": 0, "event_format": 0, "options": 0, "settings": 0, "job_text": 0,
    "study": 1, "backends": 1, "plot": 1, "progress_bar": 1,
    "table_export": 2, "job_listing": 1, "notebook": 2,
    "watcher": 3, "job": 3, "server_request": 3, "futures": 3, "client": 3, "api": 3, "worker_tasks": 3,
    "cli": 4, "web": 4, "__init__": 4,
}  # fmt: skip
ROOMS = ("study", "backends", "plot")
PUBLIC = {
    "AnalyticsKitError", "BadArchiveError", "BadMemberError", "BrokerUnavailableError", "Client", "EventFormat",
    "Job", "JobCancelledError", "JobFailedError", "JobNotFoundError", "JobStatus", "JobTimeoutError", "NoEventsError",
    "Options", "OutOfMemoryError", "Progress", "ResultExpiredError", "SettingsError", "SourceNotFoundError",
    "StoreError", "StudyResult", "UnsafeArchiveError", "WorkerLostError", "as_completed", "board", "connect",
    "explore", "gather", "get_job", "health", "jobs", "load", "metrics", "mousetrap_measures", "plot", "process",
    "queue_status", "sample_study", "submit",
}  # fmt: skip
SUBMODULES = {"plot"}
"""Public names that are submodules and nothing else."""
HEAVY = {
    "redis",
    "rq",
    "flask",
    "polars",
    "pandas",
    "plotly",
    "ipywidgets",
    "numba",
    "numpy",
    "pyarrow",
    "pydantic",
    "urllib3",
}
FILES = sorted(PACKAGE.rglob("*.py"))


def place(path: Path) -> str:
    """The floor table's word for a file: its folder or, at the top, its name."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


def imported(path: Path) -> set[str]:
    """All modules that a file imports, wherever it does so."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def of_the_package(path: Path) -> set[str]:
    names = {name.split(".")[1] for name in imported(path) if name.startswith("analytics_kit.")}
    return names & FLOORS.keys()


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
class TestFile:
    def test_imports_go_down_a_floor(self, path):
        here = place(path)
        assert here in FLOORS, f"{here} has no floor"
        for name in of_the_package(path) - {here}:
            assert FLOORS[name] <= FLOORS[here], (
                f"{here} (floor {FLOORS[here]}) imports {name} (floor {FLOORS[name]})"
            )
            assert not (here in ROOMS and name in ROOMS), f"room {here} imports room {name}"

    def test_says_what_it_is_for(self, path):
        assert ast.get_docstring(ast.parse(path.read_text())), "the first line says which question the file answers"

    def test_only_the_backends_room_knows_redis(self, path):
        foreign = {name.split(".")[0] for name in imported(path)} & {"redis", "rq"}
        assert not foreign or place(path) == "backends"


def test_public_names_are_the_contract():
    assert set(analytics_kit.__all__) == PUBLIC
    assert set(dir(analytics_kit)) == PUBLIC
    for name in PUBLIC:
        assert getattr(analytics_kit, name) is not None


@pytest.mark.parametrize("name", sorted(PUBLIC - SUBMODULES))
def test_no_submodule_takes_the_place_of_a_public_name(name):
    """Importing `analytics_kit.x` binds the module as `x`, whatever stood there before."""
    assert not (PACKAGE / name).is_dir()
    assert not (PACKAGE / f"{name}.py").exists()


@pytest.mark.parametrize("name", sorted(SUBMODULES))
def test_a_submodule_that_is_a_public_name_is_the_same_however_it_is_reached(name):
    code = f"import sys, analytics_kit; assert 'analytics_kit.{name}' not in sys.modules; a = analytics_kit.{name}; "
    code += f"import analytics_kit.{name} as b; assert a is b is sys.modules['analytics_kit.{name}']"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_wrong_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="submitt"):
        analytics_kit.submitt  # noqa: B018


def test_import_is_light():
    code = f"import sys, analytics_kit; print(sorted({HEAVY!r} & sys.modules.keys()))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_naming_a_task_is_light(tmp_path):
    """Whoever only names or tidies must not pay for what processes studies."""
    heavy = HEAVY - {"pydantic"}
    code = f"import sys, analytics_kit.worker_tasks as t; t.tidy(); print(sorted({heavy!r} & sys.modules.keys()))"
    environment = os.environ | {"ANALYTICS_KIT_HOME": str(tmp_path), "ANALYTICS_KIT_STORE": ""}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert run.stdout.strip() == "[]"


def test_statistics_are_loaded_by_those_who_ask_for_them():
    code = (
        "import sys, analytics_kit.study.result.result; print(sorted({'scipy', 'statsmodels'} & sys.modules.keys()))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_the_tree_of_errors_is_drawn_at_the_top_of_its_file():
    from analytics_kit import errors

    drawn = {word for word in errors.__doc__.split() if word.endswith("Error") and word != "FileNotFoundError"}
    classes = {name for name in vars(errors) if name.endswith("Error")}
    assert drawn == classes
    for name in drawn - {"AnalyticsKitError"}:
        assert "default_hint" in vars(getattr(errors, name)), f"{name} has no hint of its own"


def test_an_error_survives_the_way_to_another_process():
    from analytics_kit.errors import BadMemberError, rebuild

    error = rebuild("BadMemberError", "line 3 is bad", "mend it")
    assert type(error) is BadMemberError
    assert (error.message, error.hint) == ("line 3 is bad", "mend it")
    assert rebuild("KeyError", "x").message == "KeyError: x"


def test_every_dependency_is_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    known = {"pydantic": "pydantic_settings", "IPython": "ipywidgets", "traitlets": "anywidget"}
    known |= {"itsdangerous": "flask", "jinja2": "flask", "werkzeug": "flask"}

    def declared(lines):
        return {line.split(">")[0].split("<")[0].strip().replace("-", "_") for line in lines}

    def foreign(files):
        used = {name.split(".")[0] for path in files for name in imported(path)}
        return {known.get(name, name) for name in used if name not in sys.stdlib_module_names} - {"analytics_kit"}

    always, extras = declared(project["dependencies"]), project["optional-dependencies"]
    assert foreign(path for path in FILES if place(path) != "web") <= always | declared(extras["stats"])
    assert foreign(path for path in FILES if place(path) == "web") <= always | declared(extras["server"])
