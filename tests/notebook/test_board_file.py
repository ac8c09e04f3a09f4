"""Does a board leave the same file each time that a notebook runs without a front end?"""

import os
import subprocess
import sys

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

import analytics_kit as ak

LIMIT_S = 100
CELLS = (
    "import analytics_kit as ak\njobs = [ak.submit(source) for source in {sources!r}]\nak.board()",
    "[job.wait() for job in jobs]",
    "ak.board()",
)


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """A study, and a file that is none."""
    folder = tmp_path_factory.mktemp("sources")
    (folder / "torn.zip").write_bytes(b"no ZIP at all")
    return [str(ak.sample_study(folder / "study.zip", participants=2, trials=1)), str(folder / "torn.zip")]


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    """Work is done in the process that asks for it."""
    for name in [name for name in os.environ if name.startswith(("ANALYTICS_KIT_", "REDIS_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("ANALYTICS_KIT_BACKEND", "local")
    monkeypatch.setenv("ANALYTICS_KIT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))


def ran(sources):
    """The notebook as it is after it was run."""
    cells = [new_code_cell(cell.format(sources=sources), id=f"cell-{n}") for n, cell in enumerate(CELLS)]
    notebook = new_notebook(cells=cells)
    NotebookClient(notebook, timeout=LIMIT_S, kernel_name="python3", record_timing=False).execute()
    return notebook


def test_two_runs_leave_equal_bytes_which_pass_strictly(sources, tmp_path):
    first, second = ran(sources), ran(sources)
    assert nbformat.writes(first) == nbformat.writes(second)
    (record,) = first.cells[0].outputs
    assert record.data["text/plain"].splitlines()[0] == "Jobs: 1 completed, 1 failed"
    assert first.cells[2].outputs[0].data == record.data
    nbformat.write(first, tmp_path / "board.ipynb")
    command = [sys.executable, "-m", "pytest", "--nbval", "-p", "no:cacheprovider", "-c", os.devnull]
    told = subprocess.run([*command, tmp_path / "board.ipynb"], capture_output=True, text=True, timeout=LIMIT_S)
    assert told.returncode == 0, told.stdout
    assert f"{len(CELLS)} passed" in told.stdout
