"""Give modules below `notebook` access to its panels: the one import of a higher floor, made on first display."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from analytics_kit.notebook.board import Board, BoardClient
    from analytics_kit.notebook.panel import JobPanel, ObservedJob


def has_kernel() -> bool:
    """Return whether this process is a Jupyter kernel. Does not import IPython: a kernel has loaded it."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return getattr(shell, "kernel", None) is not None


def new_panel(job: ObservedJob) -> JobPanel:
    """Return a new panel, which no other cell shares."""
    from analytics_kit.notebook.panel import JobPanel

    return JobPanel(job)


def new_board(client: BoardClient) -> Board:
    """Return a board of the client's jobs."""
    from analytics_kit.notebook.board import Board

    return Board(client)


def panel_of(job: ObservedJob) -> JobPanel:
    """Return the one panel that all cells displaying or awaiting this job share.

    It is kept as an attribute of the job and so lives as long; a table of panels by job would keep both for ever,
    since a panel refers to its job.
    """
    panel: JobPanel | None = vars(job).get("_panel")
    if panel is None:
        panel = vars(job)["_panel"] = new_panel(job)
    return panel


def display(job: ObservedJob) -> None:
    """Display the job in the running cell. Outside of one raise NotImplementedError: IPython then prints the repr."""
    if not has_kernel():
        raise NotImplementedError
    panel_of(job)._ipython_display_()


@contextmanager
def show_while_waiting(job: ObservedJob) -> Iterator[None]:
    """Display the job in the cell whose code waits inside the block; outside a kernel, do and import nothing."""
    if not has_kernel():
        yield
        return
    from analytics_kit.notebook.panel import show_while_waiting

    with show_while_waiting(partial(panel_of, job)):
        yield
