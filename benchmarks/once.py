"""One measurement in a process of its own: `python -m benchmarks.once WHAT STUDY SCRATCH` prints seconds."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import analytics_kit as ak
from benchmarks.peers import pandas_loop
from benchmarks.studies import twenty_members


def main(what: str, study: str, scratch: str) -> float:
    """Return the seconds of `what`; `process` and the loop are warmed up on a tiny study, `submit` is cold."""
    if what == "submit":
        start = time.perf_counter()
        ak.connect("embedded", home=scratch).submit(study)
        return time.perf_counter() - start
    client = ak.connect("local", home=scratch)
    calls = {"process": lambda path: client.process(path), "pandas_loop": lambda path: pandas_loop(Path(path))}
    calls[what](twenty_members(Path(scratch), 0))
    start = time.perf_counter()
    calls[what](study)
    return time.perf_counter() - start


if __name__ == "__main__":
    print(main(*sys.argv[1:]))
