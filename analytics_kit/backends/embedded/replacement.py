"""Start the embedded broker anew, from the installed version, as soon as none of its jobs runs.

A client starts this program where it finds a broker of another version at work, and goes on. A broker of a version
that restarts by itself may be quicker; then there is nothing left to do.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from analytics_kit.backends.embedded.backend import has_running_jobs, replace_idle, running_socket
from analytics_kit.backends.embedded.installation import is_outdated
from analytics_kit.backends.embedded.paths import locked, paths_of
from analytics_kit.settings import Settings

POLL_INTERVAL_S = 0.25


def main(argv: Sequence[str] | None = None) -> int:
    """Wait until no job runs, replace the broker, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m analytics_kit.backends.embedded.replacement")
    parser.add_argument("--code", required=True)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--idle", type=float, required=True)
    parser.add_argument("--data-folder", type=Path, required=True)
    parser.add_argument("--private", dest="is_private", action="store_true")
    arguments = parser.parse_args(argv)
    settings = Settings.of(workers=arguments.workers, idle_s=arguments.idle)
    paths, queue = paths_of(arguments.data_folder), settings.queue
    with locked(paths.replace_lock, 0) as is_acquired:
        if is_acquired:  # else another one waits already
            while (socket := running_socket(paths)) and is_outdated(paths) and has_running_jobs(socket, queue):
                time.sleep(POLL_INTERVAL_S)
            replace_idle(paths, settings, arguments.code, arguments.is_private)
    return 0


if __name__ == "__main__":
    sys.exit(main())
