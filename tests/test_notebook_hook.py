"""Panels are reached when something is shown, and cost a process that shows nothing not even an import."""

import subprocess
import sys
from types import SimpleNamespace

import pytest

import analytics_kit as ak
from analytics_kit import notebook_hook
from tests.fake_backend import FakeBackend

LOADED = (
    "print([name for name in sys.modules if name.startswith('analytics_kit.notebook.') or name in "
    "('analytics_kit.notebook', 'ipywidgets', 'anywidget', 'IPython')])"
)


def loaded_by(code):
    run = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\n{LOADED}"], capture_output=True, text=True, check=True
    )
    return run.stdout.splitlines()


@pytest.mark.parametrize("module", ["api", "client", "job", "futures", "notebook_hook", "cli.app", "worker_tasks"])
def test_importing_the_core_loads_no_panels(module):
    assert loaded_by(f"import analytics_kit.{module}") == ["[]"]


def test_submitting_and_waiting_in_a_plain_process_loads_no_panels(tmp_path):
    study = ak.sample_study(tmp_path / "study.zip", participants=1, trials=1)
    code = (
        "import analytics_kit as ak\n"
        f"with ak.connect('local', home={str(tmp_path / 'home')!r}) as client:\n"
        f"    job = client.submit({str(study)!r})\n"
        "    print(job.wait(60), len(job.result(60).trials), job.cancelled(), repr(job).startswith('<Job '))\n"
        "    print(len(client.gather(job)), len(list(client.as_completed([job]))), len(client.jobs()))\n"
    )
    assert loaded_by(code) == ["True 4 False True", "1 1 1", "[]"]


def test_a_process_without_ipython_is_no_kernel(monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython", None)
    assert not notebook_hook.has_kernel()


@pytest.mark.parametrize(
    ("shell", "expected"), [(None, False), (SimpleNamespace(), False), (SimpleNamespace(kernel=object()), True)]
)
def test_a_kernel_is_known_by_its_shell(monkeypatch, shell, expected):
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    assert notebook_hook.has_kernel() is expected


def test_a_job_has_one_panel_for_its_cells_and_another_for_each_call_of_panel():
    from analytics_kit.job import Job
    from analytics_kit.watcher import Watcher

    fake = FakeBackend()
    job = Job(Watcher(fake), fake.put())
    assert notebook_hook.panel_of(job) is notebook_hook.panel_of(job)
    assert job.panel() is not job.panel()
    assert job.panel() is not notebook_hook.panel_of(job)
