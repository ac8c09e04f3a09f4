"""Process mutated studies until the time is over; nothing may crash, lose a row, or take long or much memory.

python -m tests.fuzz.fuzz --seconds 60             # a new seed, which is printed
python -m tests.fuzz.fuzz --seconds 60 --seed 7    # the same cases again
python -m tests.fuzz.fuzz --seed 7 --case 123      # one of them, with its traceback

A child process runs the cases; this one watches its memory and time, so that a case that needs too much of either is
found too, and the next child goes on behind it. Coverage-guided fuzzers see little here: most of what parses is
compiled (numba, polars, Arrow).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from contextlib import suppress
from pathlib import Path

import psutil

from tests.fuzz.cases import Case, judge, make_case, smaller

MAX_S = 10.0
"""CPU time of a case. Wall-clock time would count what else the machine does."""
MAX_BYTES = 512 << 20
"""Memory of the process above what it had before the first case."""
KILL_S, KILL_BYTES = 120.0, 1536 << 20
"""A child that has worked on one case for so long, on a busy machine, or has become so large, is killed."""


class Watch:
    """Read what a case costs this process."""

    def __init__(self) -> None:
        self.base_bytes = self._peak()

    def start(self) -> None:
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # sets VmHWM to the present size
        self.cpu_s = time.process_time()

    def costs(self) -> list[str]:
        spent_s, grown = time.process_time() - self.cpu_s, self._peak() - self.base_bytes
        found = [f"{spent_s:.1f} s of CPU time"] if spent_s > MAX_S else []
        return found + ([f"{grown >> 20} MB"] if grown > MAX_BYTES else [])

    @staticmethod
    def _peak() -> int:
        with suppress(OSError):
            for line in Path("/proc/self/status").read_text().splitlines():
                if line.startswith("VmHWM"):
                    return int(line.split()[1]) << 10
        return 0


def problems_of(case: Case, folder: Path, watch: Watch) -> list[str]:
    """Return what is wrong with a case."""
    watch.start()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", "Mean of empty slice")
            found = judge(case, folder)
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        found = [f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}: {str(error)[:200]}"]
    return found + watch.costs()


def run_child(seed: int, first: int, ends_at: float, folder: Path) -> None:
    """Run cases from number `first` on; print a line of JSON before each case, and for what is wrong with it."""
    problems_of(Case("fulcrum", 0, ()), folder / "warm", Watch())
    watch, number = Watch(), first
    while time.time() < ends_at:
        case = make_case(seed, number)
        print(json.dumps({"number": number}), flush=True)
        if found := problems_of(case, folder / "case", watch):
            print(json.dumps({"number": number, "case": str(case), "found": found}), flush=True)
            small = smaller(case, lambda each: bool(problems_of(each, folder / "case", watch)))
            found = problems_of(small, folder / "case", watch) or found
            print(json.dumps({"number": number, "case": str(small), "found": found}), flush=True)
        number += 1
    print(json.dumps({"number": number, "done": True}), flush=True)


def fuzz(seconds: float, seed: int, folder: Path) -> tuple[int, list[dict]]:
    """Run cases for some seconds; return how many, and what was wrong."""
    first, ends_at, found = 0, time.time() + seconds, []
    while time.time() < ends_at:
        log = folder / f"log-{first}"
        command = [sys.executable, "-m", "tests.fuzz.fuzz", "--child", str(folder), "--seed", str(seed)]
        command += ["--first", str(first), "--until", str(ends_at)]
        with log.open("wb") as out, (folder / "errors").open("ab") as errors:
            child = subprocess.Popen(command, stdout=out, stderr=errors, cwd=Path(__file__).parents[2])
        killed = _watch(child, log, ends_at)
        lines = [json.loads(line) for line in log.read_text().splitlines() if line.endswith("}")]
        found += {line["number"]: line for line in lines if "found" in line}.values()  # the smallest of each
        if not lines:
            raise RuntimeError(f"The child did not begin: {(folder / 'errors').read_text()[-2000:]}")
        last = lines[-1]["number"]
        if not lines[-1].get("done"):
            reason = killed or f"the process ended with {child.returncode}"
            found.append({"number": last, "case": str(make_case(seed, last)), "found": [reason]})
        first = last + 1
    return first, found


def _watch(child: subprocess.Popen, log: Path, ends_at: float) -> str:
    """Wait for a child; kill it if one case takes too long or too much memory, and return that."""
    process, size, since = psutil.Process(child.pid), -1, time.monotonic()
    while child.poll() is None:
        time.sleep(0.05)
        if (now := log.stat().st_size) != size:
            size, since = now, time.monotonic()
        with suppress(psutil.Error):
            memory = process.memory_info().rss
            too_long = time.monotonic() - since > KILL_S
            if memory > KILL_BYTES or too_long:
                child.kill()
                child.wait()
                return f"over {KILL_S:.0f} s" if too_long else f"over {KILL_BYTES >> 20} MB"
    return ""


def main() -> int:
    """Run it and print what is wrong."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--case", type=int, help="run this one only")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--until", type=float, default=0.0, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child is not None:
        run_child(chosen.seed, chosen.first, chosen.until, chosen.child)
        return 0
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        if chosen.case is not None:
            case, watch = make_case(chosen.seed, chosen.case), Watch()
            print(case)
            watch.start()
            wrong = judge(case, Path(name) / "case") + watch.costs()
            print("\n".join(wrong) or "Nothing is wrong.")
            return 1 if wrong else 0
        print(f"seed {chosen.seed}", flush=True)
        count, found = fuzz(chosen.seconds, chosen.seed, Path(name))
    print(f"{count} cases, {len(found)} wrong")
    for each in found:
        print(f"  case {each['number']}: {'; '.join(each['found'])}\n    {each['case']}")
    return 1 if found else 0


if __name__ == "__main__":
    os.environ.setdefault("POLARS_MAX_THREADS", "2")
    raise SystemExit(main())
