"""Which cell runs, whether it is drawn live, and that what an earlier run of it showed is hidden."""

import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from analytics_kit.notebook import front_end as cell


class Shell:
    """IPython in a kernel, as far as a cell is concerned; `parent` is the message that it works on."""

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

    def run(self, name, run, deleted=(), **content):
        """Begin to run a cell, as a front end does; gives the cell."""
        metadata = {"cellId": name} if name else {}
        if deleted:
            metadata["deletedCells"] = list(deleted)
        self.parent = {
            "header": {"msg_type": "execute_request", "msg_id": run},
            "metadata": metadata,
            "content": {"allow_stdin": True} | content,
        }
        for hook in list(self.hooks):
            hook(SimpleNamespace(cell_id=name))
        return cell.running()


class Thing:
    def __init__(self):
        self.hidden = []

    def hide(self, name):
        self.hidden.append(name)


@pytest.fixture
def shell(monkeypatch):
    shell = Shell()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.delenv("ANALYTICS_KIT_STATIC", raising=False)
    monkeypatch.delenv("SERVER_SOFTWARE", raising=False)
    monkeypatch.setattr(cell, "_shown", {})
    return shell


def test_a_cell_has_the_name_and_run_of_its_request(shell):
    assert shell.run("a", "1") == cell.Cell("a", "1", live=True)
    assert shell.run("", "2") == cell.Cell("", "2", live=True)


@pytest.mark.parametrize(
    ("stdin", "server", "live"), [(True, "", True), (False, "", False), (False, "voila/0.5.13", True)]
)
def test_a_front_end_is_who_takes_input(shell, monkeypatch, stdin, server, live):
    monkeypatch.setenv("SERVER_SOFTWARE", server)
    assert shell.run("a", "1", allow_stdin=stdin).live is live


@pytest.mark.parametrize(("asked", "live"), [("1", False), ("0", True), ("true", False)])
def test_the_setting_decides(shell, monkeypatch, asked, live):
    monkeypatch.setenv("ANALYTICS_KIT_STATIC", asked)
    monkeypatch.setenv("SERVER_SOFTWARE", "" if live else "voila/0.5")
    assert shell.run("a", "1", allow_stdin=not live).live is live


def test_a_callback_is_in_no_cell(shell):
    shell.run("a", "1")
    shell.parent["header"]["msg_type"] = "comm_msg"
    assert cell.running() is None


def test_another_thread_is_in_no_cell(shell):
    shell.run("a", "1")
    heard = []
    thread = threading.Thread(target=lambda: heard.append(cell.running()))
    thread.start()
    thread.join()
    assert heard == [None]


def test_a_kernel_that_has_heard_nothing_runs_no_cell(shell):
    assert cell.running() is None
    shell.parent = None
    assert cell.running() is None


def test_a_terminal_runs_no_cell(shell):
    del shell.kernel
    assert cell.running() is None


def test_a_shell_that_has_not_begun_runs_no_cell(monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
    assert cell.running() is None


@pytest.mark.parametrize("first", ["", "import IPython; "])
def test_a_script_runs_no_cell_and_loads_no_shell(first):
    code = "import sys; from analytics_kit.notebook import front_end; print(front_end.running(), 'IPython' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", first + code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["None", str(bool(first))]


def test_running_a_cell_again_hides_what_it_showed(shell):
    thing, other = Thing(), Thing()
    cell.note(shell.run("a", "1"), thing)
    cell.note(shell.run("b", "2"), other)
    assert thing.hidden == other.hidden == []
    shell.run("a", "3")
    assert (thing.hidden, other.hidden) == (["a"], [])


def test_what_a_cell_has_just_shown_stays_when_code_in_it_runs_more_code(shell):
    """IPython tells of that like of a cell that runs; it is the same run."""
    thing = Thing()
    cell.note(shell.run("a", "1"), thing)
    shell.run("a", "1")
    assert thing.hidden == []
    shell.run("a", "2")
    assert thing.hidden == ["a"]


def test_what_deleted_cells_showed_is_hidden(shell):
    things = {name: Thing() for name in "abc"}
    for run, (name, thing) in enumerate(things.items()):
        cell.note(shell.run(name, str(run)), thing)
    shell.run("d", "9", deleted=["a", "b", "unknown"])
    assert [thing.hidden for thing in things.values()] == [["a"], ["b"], []]


def test_only_what_is_shown_is_listened_for(shell):
    shell.run("a", "1")
    assert shell.hooks == []
    cell.note(cell.running(), Thing())
    cell.note(cell.running(), Thing())
    assert len(shell.hooks) == 1
    shell.run("a", "2")
    assert shell.hooks == []
    assert cell._shown == {}


def test_a_cell_without_a_name_can_not_be_known_again(shell):
    thing = Thing()
    cell.note(shell.run("", "1"), thing)
    assert shell.hooks == []
    shell.run("", "2")
    assert thing.hidden == []
