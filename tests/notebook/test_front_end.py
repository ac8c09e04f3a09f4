"""The running cell, whether it is live, and that displays of its earlier runs are hidden."""

import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from analytics_kit.notebook import front_end


class FakeShell:
    """The part of IPython's shell that concerns cells; `parent` is the message that it handles."""

    def __init__(self):
        self.parent = {}
        self.kernel = SimpleNamespace(get_parent=lambda: self.parent)
        self.hooks = []
        self.events = SimpleNamespace(register=self.register, unregister=self.unregister)

    def register(self, event, hook):
        assert event == "pre_run_cell"
        if hook not in self.hooks:
            self.hooks.append(hook)

    def unregister(self, event, hook):
        self.hooks.remove(hook)

    def run(self, cell_id, run_id, deleted=(), **content):
        """Start running a cell, as a front end does, and return the cell."""
        metadata = {"cellId": cell_id} if cell_id else {}
        if deleted:
            metadata["deletedCells"] = list(deleted)
        self.parent = {
            "header": {"msg_type": "execute_request", "msg_id": run_id},
            "metadata": metadata,
            "content": {"allow_stdin": True} | content,
        }
        for hook in list(self.hooks):
            hook(SimpleNamespace(cell_id=cell_id))
        return front_end.running_cell()


class FakeDisplay:
    def __init__(self):
        self.hidden = []

    def hide(self, cell_id):
        self.hidden.append(cell_id)


@pytest.fixture
def shell(monkeypatch):
    shell = FakeShell()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.delenv("ANALYTICS_KIT_STATIC", raising=False)
    monkeypatch.delenv("SERVER_SOFTWARE", raising=False)
    monkeypatch.setattr(front_end, "_displays", {})
    return shell


def test_running_cell_has_the_ids_of_its_request(shell):
    assert shell.run("a", "1") == front_end.Cell("a", "1", is_live=True)
    assert shell.run("", "2") == front_end.Cell("", "2", is_live=True)


@pytest.mark.parametrize(
    ("stdin", "server", "live"), [(True, "", True), (False, "", False), (False, "voila/0.5.13", True)]
)
def test_cell_is_live_where_the_front_end_takes_input_or_is_voila(shell, monkeypatch, stdin, server, live):
    monkeypatch.setenv("SERVER_SOFTWARE", server)
    assert shell.run("a", "1", allow_stdin=stdin).is_live is live


@pytest.mark.parametrize(("static", "live"), [("1", False), ("0", True), ("true", False)])
def test_setting_overrides_the_front_end(shell, monkeypatch, static, live):
    monkeypatch.setenv("ANALYTICS_KIT_STATIC", static)
    monkeypatch.setenv("SERVER_SOFTWARE", "" if live else "voila/0.5")
    assert shell.run("a", "1", allow_stdin=not live).is_live is live


def test_callback_runs_in_no_cell(shell):
    shell.run("a", "1")
    shell.parent["header"]["msg_type"] = "comm_msg"
    assert front_end.running_cell() is None


def test_other_thread_runs_in_no_cell(shell):
    shell.run("a", "1")
    cells = []
    thread = threading.Thread(target=lambda: cells.append(front_end.running_cell()))
    thread.start()
    thread.join()
    assert cells == [None]


def test_kernel_without_a_request_runs_no_cell(shell):
    assert front_end.running_cell() is None
    shell.parent = None
    assert front_end.running_cell() is None


def test_terminal_runs_no_cell(shell):
    del shell.kernel
    assert front_end.running_cell() is None


def test_shell_that_has_not_started_runs_no_cell(monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
    assert front_end.running_cell() is None


@pytest.mark.parametrize("first", ["", "import IPython; "])
def test_script_runs_no_cell_and_loads_no_shell(first):
    code = (
        "import sys; from analytics_kit.notebook import front_end; "
        "print(front_end.running_cell(), 'IPython' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", first + code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["None", str(bool(first))]


def test_running_a_cell_again_hides_its_earlier_displays(shell):
    display, other = FakeDisplay(), FakeDisplay()
    front_end.hide_on_rerun(shell.run("a", "1"), display)
    front_end.hide_on_rerun(shell.run("b", "2"), other)
    assert display.hidden == other.hidden == []
    shell.run("a", "3")
    assert (display.hidden, other.hidden) == (["a"], [])


def test_display_stays_when_code_of_its_cell_runs_more_code(shell):
    """IPython announces such code like a cell, but it belongs to the same run."""
    display = FakeDisplay()
    front_end.hide_on_rerun(shell.run("a", "1"), display)
    shell.run("a", "1")
    assert display.hidden == []
    shell.run("a", "2")
    assert display.hidden == ["a"]


def test_displays_of_deleted_cells_are_hidden(shell):
    displays = {name: FakeDisplay() for name in "abc"}
    for run, (name, display) in enumerate(displays.items()):
        front_end.hide_on_rerun(shell.run(name, str(run)), display)
    shell.run("d", "9", deleted=["a", "b", "unknown"])
    assert [display.hidden for display in displays.values()] == [["a"], ["b"], []]


def test_hook_is_registered_only_while_something_is_displayed(shell):
    shell.run("a", "1")
    assert shell.hooks == []
    front_end.hide_on_rerun(front_end.running_cell(), FakeDisplay())
    front_end.hide_on_rerun(front_end.running_cell(), FakeDisplay())
    assert len(shell.hooks) == 1
    shell.run("a", "2")
    assert shell.hooks == []
    assert front_end._displays == {}


def test_cell_without_an_id_is_never_hidden(shell):
    display = FakeDisplay()
    front_end.hide_on_rerun(shell.run("", "1"), display)
    assert shell.hooks == []
    shell.run("", "2")
    assert display.hidden == []
