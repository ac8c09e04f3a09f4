"""The shape of the package: which module may import which, what is public, and what importing it costs."""

import ast
import os
import subprocess
import sys
import tomllib
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

import analytics_kit

PACKAGE = Path(analytics_kit.__file__).parent
ROOT = PACKAGE.parent
FLOORS: dict[str, list[str]] = {
    "": [
        "utf8_text",
        "__init__ deprecation handle visible_text",
        "code_version errors",
        "model process_fork settings",
        "event_format job_text progress_bar",
        "job_pages options redaction",
        "study backends plot",
        "notebook_hook server_request table_export watcher withdrawal worker_tasks",
        "job",
        "futures",
        "client",
        "api",
        "notebook web",
        "cli",
    ],
    "study": [
        "storage_errors",
        "schema archive",
        "csv sample",
        "formats",
        "events",
        "metrics",
        "store",
        "pipeline",
        "result",
    ],
    "study.schema": ["columns issues kernel_cache text", "compiling keys"],
    "study.archive": [
        "base byte_range decompress",
        "central_directory folder_archive remote_range",
        "limits",
        "zip_archive",
        "source",
    ],
    "study.csv": ["rows", "log_limits scan", "cells pieces"],
    "study.formats": ["base layout task_factor", "event_format fulcrum log_format trials", "registry"],
    "study.events": ["quality_flags", "table", "described_reader native", "reading"],
    "study.events.native": ["buffers careful fast", "scanned", "reader"],
    "study.metrics": [
        "catalogue entropy primitives",
        "clicks deviation durations key_timing mousetrap movement press_release table turning typing",
        "aiming mousetrap_table scrolls",
        "pointer_path",
        "evaluate",
    ],
    "study.store": [
        "paths manifests atomic_write event_parquet event_reading remote_file",
        "store",
        "retention uploads",
    ],
    "study.pipeline": ["loading plan attempts warmup", "shard", "exchange merge", "run", "distributed"],
    "study.result": ["files html removal summaries", "analysis", "result"],
    "study.result.analysis": [
        "arguments design joining quality stats_libraries",
        "contrasts description learning",
        "compare",
    ],
    "study.sample": ["behaviour", "study"],
    "backends": [
        "dotted_names machine time_budget",
        "progress record",
        "base",
        "redis step_runner",
        "local worker",
        "embedded http",
        "open",
    ],
    "backends.redis": [
        "keys server_errors signature",
        "connection",
        "pool_state rq_queue scripts",
        "diagnosis repair",
        "job_store",
        "attempts changes",
        "cleanup code_match intake",
        "recovery",
        "backend",
    ],
    "backends.worker": ["entry limits pool", "task_process", "worker", "__main__"],
    "backends.embedded": ["paths server_guard", "installation", "backend", "replacement supervisor"],
    "backends.http": ["transport", "upload_queue", "backend"],
    "plot": [
        "arrays",
        "labels style",
        "screen_axes selection",
        "thinning",
        "comparison movement timelines",
        "__init__",
    ],
    "notebook": [
        "explorer_model front_end html_widget job_html rate_limit upload_receiver",
        "board_html cell_display trial_html",
        "explorer panel",
        "board",
    ],
    "web": [
        "__init__ auth one_process schemas settings study_catalogue templating",
        "error_responses launcher openapi_responses session",
        "connections openapi_schema service wsgi_bridge",
        "routes",
        "app",
        "server",
    ],
    "web.routes": ["job_schemas participants", "results uploads", "jobs", "page_rows studies", "page server"],
    "cli": ["doctor exit_codes output", "watch", "jobs", "app", "__init__", "__main__"],
}
"""The floors of each room, from the ground up. A file or room imports only from floors below its own, so no import
goes up and there are no cycles. A room's `__init__` is listed where it takes part."""
UPWARD = {
    ("notebook_hook", "notebook"): "imports panels when a kernel displays something",
    ("job", "notebook"): "names a panel in a signature, for type checkers only",
    ("client", "notebook"): "names the board in a signature, for type checkers only",
    ("api", "notebook"): "names the board in a signature, for type checkers only",
}
"""The only imports that may go up."""
RQ_ROOMS = ("backends.redis", "backends.worker", "backends.embedded")
RQ_KEYS = "backends.redis.rq_queue"
STORE_LAYOUT = "study.store.paths"
NAMED_TWICE = {
    "T": "a type variable, by convention",
}
"""Names of classes and constants that may stand in several modules, and why."""
PUBLIC = {
    "AnalyticsKitError", "BadArchiveError", "BadMemberError", "BrokerUnavailableError", "Client", "EventFormat",
    "ForgetReport", "Job", "JobCancelledError", "JobFailedError", "JobNotFoundError", "JobStatus", "JobTimeoutError",
    "NoEventsError", "Options", "OutOfMemoryError", "Progress", "ResultExpiredError", "SettingsError",
    "SourceNotFoundError", "StoreError", "StudyResult", "UnsafeArchiveError", "WorkerLostError", "as_completed",
    "board", "connect", "explore", "forget", "gather", "get_job", "health", "jobs", "load", "metrics",
    "mousetrap_measures", "plot", "process", "queue_status", "sample_study", "submit",
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


def module_of(path: Path) -> str:
    """The name of a file's module in the package, `__init__` included: `study.store.paths`, `cli.__init__`."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


MODULES = {module_of(path): ast.parse(path.read_text()) for path in FILES}


@cache
def imported(tree: ast.Module) -> set[str]:
    """The names of all modules that a module imports, wherever it does so, and of what it takes from them."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def own_imports(tree: ast.Module) -> set[str]:
    """The modules of this package that a module imports, as `MODULES` names them."""
    found = set()
    for name in imported(tree):
        if name == PACKAGE.name or name.startswith(f"{PACKAGE.name}."):
            inside = name.removeprefix(PACKAGE.name).lstrip(".")
            holders = (
                inside,
                f"{inside}.__init__",
                inside.rpartition(".")[0],
                f"{inside.rpartition('.')[0]}.__init__",
            )
            found.add(next(each for each in (holder.lstrip(".") for holder in holders) if each in MODULES))
    return found


def floor_of(room: str, name: str) -> int:
    floors = [number for number, names in enumerate(FLOORS[room]) if name in names.split()]
    assert len(floors) == 1, f"FLOORS[{room!r}] has to name {name!r} once"
    return floors[0]


@cache
def literals(tree: ast.Module) -> set[str]:
    """The texts in a module's code, without docstrings."""
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None
    }
    texts = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes) and id(node) not in docs
    }
    return {text.decode(errors="replace") if isinstance(text, bytes) else text for text in texts}


@pytest.mark.parametrize("name", MODULES)
class TestModule:
    def test_imports_go_down(self, name):
        importer = name.split(".")
        for other in own_imports(MODULES[name]) - {name}:
            target = other.split(".")
            common = next(i for i, (a, b) in enumerate(zip(importer, target, strict=False)) if a != b)
            room, here, there = ".".join(importer[:common]), importer[common], target[common]
            if (here, there) not in UPWARD or room:
                assert floor_of(room, here) > floor_of(room, there), f"{name} imports {other}"

    def test_states_its_idea(self, name):
        doc = ast.get_docstring(MODULES[name])
        assert doc, "the first line of a module says what it is for"
        assert not doc.splitlines()[0].rstrip().endswith("?"), "the first line is a statement"

    def test_only_three_rooms_know_redis_and_rq(self, name):
        foreign = {each.split(".")[0] for each in imported(MODULES[name])} & {"redis", "rq"}
        assert not foreign or name.startswith(RQ_ROOMS)

    def test_only_one_module_spells_the_keys_of_rq(self, name):
        spelled = {text for text in literals(MODULES[name]) if text.startswith("rq:")}
        assert not spelled or name == RQ_KEYS

    def test_only_one_module_spells_the_layout_of_a_store(self, name):
        spelled = {text for text in literals(MODULES[name]) if text.startswith(("results/", "uploads/"))}
        spelled |= literals(MODULES[name]) & {"manifest.json", "store.id", ".swept"}
        assert not spelled or name == STORE_LAYOUT


def test_every_floor_is_of_something():
    for room, floors in FLOORS.items():
        folder = PACKAGE.joinpath(*room.split(".")) if room else PACKAGE
        for name in " ".join(floors).split():
            assert (folder / name).is_dir() or (folder / f"{name}.py").is_file(), f"FLOORS[{room!r}] names {name!r}"


def test_no_class_or_constant_is_defined_twice():
    """Otherwise a reader, and a search, find the wrong one. Private names stay in their module and don't count."""
    homes = defaultdict(set)
    for module, tree in MODULES.items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                homes[node.name].add(module)
            targets = node.targets if isinstance(node, ast.Assign) else []
            targets = [node.target] if isinstance(node, ast.AnnAssign) else targets
            names = [each.id for target in targets for each in ast.walk(target) if isinstance(each, ast.Name)]
            for name in names:
                if name[0].isupper():
                    homes[name].add(module)
    twice = {name: sorted(modules) for name, modules in homes.items() if len(modules) > 1}
    assert twice.keys() <= NAMED_TWICE.keys(), twice


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_a_public_name_is_documented_with_an_example(name):
    value = getattr(analytics_kit, name)
    assert value.__doc__
    if name not in SUBMODULES:
        assert "Examples" in value.__doc__
        assert ">>> " in value.__doc__
        assert "+SKIP" not in value.__doc__


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


def test_every_dependency_is_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    known = {"pydantic": "pydantic_settings", "IPython": "ipywidgets", "traitlets": "anywidget"}
    known |= {"jinja2": "flask", "werkzeug": "flask"}

    def declared(lines):
        return {line.split(">")[0].split("<")[0].strip().replace("-", "_") for line in lines}

    def foreign(trees):
        used = {name.split(".")[0] for tree in trees for name in imported(tree)}
        return {known.get(name, name) for name in used if name not in sys.stdlib_module_names} - {"analytics_kit"}

    always, extras = declared(project["dependencies"]), project["optional-dependencies"]
    web = [tree for name, tree in MODULES.items() if name.startswith("web.")]
    others = [tree for name, tree in MODULES.items() if not name.startswith("web.")]
    assert foreign(others) <= always | declared(extras["stats"])
    assert foreign(web) <= always | declared(extras["server"])
