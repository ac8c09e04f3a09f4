"""The bar shows progress and ends with its last state."""

import io

import pytest
from rich.console import Console

from analytics_kit.model import Progress
from analytics_kit.progress_bar import ProgressBar


@pytest.mark.parametrize("terminal", [True, False])
def test_bar_leaves_its_last_state(terminal):
    console = Console(file=io.StringIO(), force_terminal=terminal, width=120)
    with ProgressBar("<b>study.zip[red]", console) as bar:
        bar.show(Progress("processing", 50, 100, fraction=0.5))
        bar.show(Progress("merging", 100, 100, fraction=1.0), "completed")
    last = [line for line in console.file.getvalue().split("\n") if "study" in line][-1]
    assert "<b>study.zip[red] completed" in last
    assert "100%" in last


@pytest.mark.parametrize(
    ("rows", "expected"), [(1234567, "50 bytes/100 bytes, 1,234,567 rows"), (None, "50 bytes/100 bytes")]
)
def test_rows_are_shown_once_they_are_counted(rows, expected):
    console = Console(file=io.StringIO(), width=120)
    with ProgressBar("study.zip", console) as bar:
        bar.show(Progress("processing", 50, 100, fraction=0.5, rows=rows))
    assert expected in console.file.getvalue()
    assert ("rows" in console.file.getvalue()) is (rows is not None)


def test_bar_in_a_notebook_draws_its_last_state(monkeypatch):
    bar, drawn = ProgressBar("study.zip", Console(file=io.StringIO(), force_jupyter=True)), []
    monkeypatch.setattr("rich.live.Live.refresh", lambda live: drawn.append(bar._bars.tasks[0].description))
    with bar:
        bar.show(Progress("merging", 100, 100, fraction=1.0), "completed")
    assert drawn[-1] == "completed"


def test_error_in_the_block_is_raised():
    console = Console(file=io.StringIO(), force_terminal=True)
    with pytest.raises(KeyError), ProgressBar("study.zip", console):
        raise KeyError
