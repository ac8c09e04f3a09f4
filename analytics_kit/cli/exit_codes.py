"""Exit codes of the command line."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """The exit code of a command that did not succeed."""

    FAILED = 1
    """A job failed, or something could not be done."""
    USAGE = 2
    """Wrong arguments or settings; typer uses this code, too."""
    TIMEOUT = 3
    """A job did not end within `--timeout`."""
    CANCELLED = 4
    """A job was cancelled."""
    INTERRUPTED = 130
    """Ctrl-C: 128 plus the number of SIGINT, as in shells."""
