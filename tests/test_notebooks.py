"""Do the notebooks give what they show, cell for cell, when nbval runs them strictly?"""

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import nbformat
import pytest

from analytics_kit.backends.embedded import backend as embedded
from analytics_kit.settings import Settings

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
FIRST_STUDY = NOTEBOOKS[0]


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    """The temporary folder of notebooks that run with a home, and so with a broker, of their own."""
    base = tmp_path_factory.mktemp("notebooks")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("ANALYTICS_KIT_", "REDIS_", "PLOTLY_"))]:
            patch.delenv(name)
        patch.setenv("ANALYTICS_KIT_HOME", str(base / "home"))
        patch.setenv("IPYTHONDIR", str(base / "ipython"))
        patch.setenv("TMPDIR", str(base / "tmp"))
        (base / "tmp").mkdir()
        try:
            yield base / "tmp"
        finally:
            embedded.stop(Settings.of())


def run(notebook, report):
    """Exit code of nbval, and what became of each code cell."""
    command = [sys.executable, "-m", "pytest", "--nbval", "-p", "no:cacheprovider", f"--junitxml={report}", notebook]
    ended = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, timeout=110)
    assert report.exists(), ended.stdout + ended.stderr
    cases = ElementTree.parse(report).iter("testcase")  # noqa: S314 - our own report
    cells = [(case.get("name"), [found.tag for found in case]) for case in cases]
    print(ended.stdout)
    return ended.returncode, cells


def code_cells(notebook):
    return [cell for cell in nbformat.read(notebook, 4).cells if cell.cell_type == "code"]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_gives_what_is_stored(notebook, scratch, tmp_path):
    cells = code_cells(notebook)
    code, ran = run(notebook, tmp_path / "report.xml")
    assert code == 0
    assert ran == [(f"Cell {place}", []) for place in range(len(cells))]
    assert not list(scratch.rglob("*.zip")), "the notebook left its study behind"


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_cell_escapes_the_comparison(notebook):
    """nbval compares nothing in a cell that was never run, or that has a marker or tag."""
    for cell in code_cells(notebook):
        assert cell.execution_count
        assert "NBVAL" not in cell.source
        assert not cell.metadata


def test_a_changed_record_or_figure_is_found(scratch, tmp_path):
    changed = nbformat.read(FIRST_STUDY, 4)
    cells = {cell.id: cell for cell in changed.cells}
    record = cells["submit"].outputs[0].data
    record["text/html"] = record["text/html"].replace("96 trials", "95 trials")
    figure = cells["figure"].outputs[0].data["application/vnd.plotly.v1+json"]
    figure["layout"]["title"]["text"] += "?"
    nbformat.write(changed, tmp_path / "changed.ipynb")
    code, ran = run(tmp_path / "changed.ipynb", tmp_path / "report.xml")
    places = [cell.id for cell in code_cells(FIRST_STUDY)]
    assert code == 1
    assert [places[place] for place, (_, found) in enumerate(ran) if found] == ["submit", "figure"]
