"""The hash of the code that makes numbers: what it covers, and what leaves it as it is."""

import ast
import json
import shutil
import subprocess
import sys

import pytest

import analytics_kit as ak
from analytics_kit import code_version as module
from analytics_kit.code_version import NUMBER_SOURCES, PACKAGE, code_version, read_code_version, source_files
from analytics_kit.options import Options
from analytics_kit.study.schema.kernel_cache import KERNEL_SOURCES

WITHOUT_NUMBERS = {"__init__.py", "code_version.py", "errors.py", "settings.py", "visible_text.py"}
"""What the code that makes numbers imports, and no number depends on."""


@pytest.fixture
def copy(tmp_path):
    folder = tmp_path / PACKAGE.name
    shutil.copytree(PACKAGE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def change(path):
    path.write_text(f"{path.read_text()}\n# changed\n")


def imports(path):
    """The files of the package that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PACKAGE.name):
            base = PACKAGE.joinpath(*node.module.split(".")[1:])
            for target in (base, *(base / alias.name for alias in node.names)):
                for file in (target.with_suffix(".py"), target / "__init__.py"):
                    if file.is_file() and file != PACKAGE / "__init__.py":
                        yield file


def closure(files):
    """The files, and all that they import."""
    seen, todo = set(), list(files)
    while todo:
        if (path := todo.pop()) not in seen:
            seen.add(path)
            todo += imports(path)
    return {path.relative_to(PACKAGE).as_posix() for path in seen}


def test_a_copy_of_the_same_code_has_the_same_hash(copy):
    assert read_code_version(copy) == read_code_version() == code_version()
    assert code_version().version == ak.__version__


@pytest.mark.parametrize("path", ["study/metrics/primitives.py", "study/pipeline/merge.py", "options.py"])
def test_a_change_to_what_makes_numbers_changes_the_hash(copy, path):
    change(copy / path)
    assert read_code_version(copy).code != code_version().code


def test_a_release_that_changes_only_pages_panels_and_figures_keeps_the_hash(copy):
    for folder in ("web", "notebook", "plot", "cli", "backends", "study/result", "study/sample"):
        for path in (copy / folder).rglob("*.py"):
            change(path)
    init = copy / "__init__.py"
    init.write_text(init.read_text().replace(f'"{ak.__version__}"', '"7.0.0"'))
    assert read_code_version(copy) == ("7.0.0", code_version().code)


def test_a_file_that_is_renamed_added_or_removed_changes_the_hash(copy):
    (copy / "study/metrics/scrolls.py").rename(copy / "study/metrics/scrolling.py")
    assert read_code_version(copy).code != code_version().code


@pytest.mark.parametrize("library", module.NUMBER_LIBRARIES)
def test_another_version_of_a_library_changes_the_hash(monkeypatch, library):
    real = module._installed_version
    monkeypatch.setattr(module, "_installed_version", lambda name: "0.0" if name == library else real(name))
    assert read_code_version().code != code_version().code


def test_everything_that_processing_imports_is_covered():
    """A new module has to be covered, or to be named here as one on which no number depends."""
    covered = {path.relative_to(PACKAGE).as_posix() for path in source_files(NUMBER_SOURCES)}
    pipeline = [PACKAGE / "study/pipeline" / name for name in ("run.py", "distributed.py")]
    assert closure(pipeline) - covered <= WITHOUT_NUMBERS


def test_everything_that_kernels_are_compiled_from_is_a_part_of_their_key():
    covered = {path.relative_to(PACKAGE).as_posix() for path in source_files(KERNEL_SOURCES)}
    kernels = [
        path for path in PACKAGE.rglob("*.py") if "import" in (text := path.read_text()) and "kernel\ndef" in text
    ]
    assert len(kernels) > 12
    types_only = {"model.py", "utf8_text.py", "study/events/__init__.py"}
    assert closure(kernels) - covered <= WITHOUT_NUMBERS | types_only


def test_no_number_making_module_is_loaded_later_than_the_others():
    """Else an upgrade under a running worker would mix two versions."""
    code = (
        "import sys; from analytics_kit.study.pipeline.loading import load_numbers; load_numbers(); "
        "import json; print(json.dumps(sorted(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    parts = [path.relative_to(PACKAGE).with_suffix("").parts for path in source_files(NUMBER_SOURCES)]
    names = {".".join((PACKAGE.name, *each)).removesuffix(".__init__") for each in parts}
    assert names <= set(json.loads(run.stdout))


def test_a_process_that_was_upgraded_halfway_refuses_to_make_numbers(monkeypatch):
    from analytics_kit.study.pipeline import loading

    monkeypatch.setattr(loading, "read_code_version", lambda: code_version()._replace(code="other"))
    with pytest.raises(ak.SettingsError, match="was upgraded while this process was running"):
        loading.load_numbers.__wrapped__()


class TestResultKey:
    """Which requests share a result."""

    @pytest.fixture
    def client(self, tmp_path):
        with ak.connect("local", home=tmp_path / "home") as client:
            yield client

    def test_key_depends_on_the_code(self, client, monkeypatch):
        key = client.result_key("content", Options())
        assert client.result_key("content", Options()) == key
        monkeypatch.setattr("analytics_kit.client.code_version", lambda: code_version()._replace(code="other"))
        assert client.result_key("content", Options()) != key

    def test_key_depends_on_formats_of_other_packages_that_can_be_used(self, client, monkeypatch):
        """A named format of this package needs none of them; "auto" lets all take part in the decision."""

        def keys(*installed):
            monkeypatch.setattr("analytics_kit.options._installed_formats", lambda: installed)
            return [client.result_key("content", Options(format=name)) for name in ("auto", "fulcrum")]

        none, old, new = keys(), keys(("lab", "lab of labs 1.0")), keys(("lab", "lab of labs 1.1"))
        assert none[1] == old[1] == new[1]
        assert len({none[0], old[0], new[0]}) == 3

    def test_result_names_the_code_that_made_it(self, client, tmp_path):
        result = client.process(ak.sample_study(tmp_path / "study.zip", participants=1, trials=1))
        assert result.provenance["code"] == code_version().code

    def test_worker_with_another_version_of_a_format_leaves_the_job(self, client, tmp_path, monkeypatch):
        request = client.request(ak.sample_study(tmp_path / "study.zip", participants=1, trials=1), None, {})
        assert request.arguments["formats"] == []
        monkeypatch.setattr("analytics_kit.options._installed_formats", lambda: (("lab", "lab of labs 1.1"),))
        error = client.begin(request).exception(60)
        assert "with formats of other packages: none; the workers have lab of labs 1.1" in str(error)
