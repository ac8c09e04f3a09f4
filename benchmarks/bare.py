"""The steps of a large job, one after the other in one forked process, without queue, record and limits."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from analytics_kit import worker_tasks as tasks
from analytics_kit.model import Progress, Split
from analytics_kit.options import Options


class BareContext:
    """A step's context that reports to nobody."""

    job_id = "bare"
    attempt = 1
    can_split = True

    def __init__(self, arguments: Mapping[str, Any], step: str, part: int | None = None, parts: int = 0) -> None:
        self.arguments, self.step, self.shard = arguments, step, part
        self.winning_attempts = dict.fromkeys(range(parts), 1)

    def report(self, progress: Progress) -> None:
        """Ignore the progress."""

    def begin_commit(self) -> None:
        """Nothing can cancel it."""


def steps(path: str, scratch: str) -> float:
    """Return the seconds of all steps together."""
    arguments = {"source": path, "options": Options().to_json(), "store": scratch, "result_key": "b" * 64}
    start = time.perf_counter()
    split = tasks.process_study(BareContext(arguments, "begin"))
    assert isinstance(split, Split)
    for part in range(split.shards):
        tasks.process_shard(BareContext(arguments, f"part-{part}", part))
    tasks.merge_shards(BareContext(arguments, "merge", parts=split.shards))
    return time.perf_counter() - start


def main() -> None:
    """Warm up as a worker does, then work in a forked process, and print how long that took."""
    path, scratch = sys.argv[1:]
    Path(scratch).mkdir(parents=True)
    os.environ["POLARS_MAX_THREADS"] = "1"
    tasks.warm()
    if not os.fork():
        print(steps(path, scratch), flush=True)
        os._exit(0)
    os.wait()


if __name__ == "__main__":
    main()
