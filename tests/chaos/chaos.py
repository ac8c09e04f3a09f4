"""`make chaos`: jobs on an embedded broker while its processes are killed at random. Nothing may be lost or wrong.

python tests/chaos/chaos.py --seconds 300 --jobs 100 --seed 1
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pandas as pd
import psutil
import redis

import analytics_kit as ak
from analytics_kit import client as client_module
from analytics_kit.backends.embedded import backend as embedded
from analytics_kit.backends.embedded.paths import broker_paths
from analytics_kit.backends.redis.attempts import AttemptStore
from analytics_kit.backends.redis.job_store import DELAYED, QUEUED
from analytics_kit.backends.redis.keys import QueueKeys

KEYS = QueueKeys()

KINDS_OF_KILL = ("task process", "task process", "task process", "worker", "worker", "server", "supervisor", "pool")
MIN_KILLS, MIN_RETRIES = 6, 2
"""What a run has to reach, so that it shows anything."""
EXTENSION_S = 90.0
"""A run that has not reached it goes on for at most this much longer, at the same pace."""
STEP_WAIT_S = 5.0
"""A kill that is to hit a step waits at most this long until one runs."""
END_LIMIT_S = 240.0
LEFT_KEYS_LIMIT_S = 30.0
"""Less than any key lives that should not be left; what a worker has still to do is done by then."""
TABLES = ("trials", "issues", "members", "surveys")


@dataclass
class Figures:
    """What happened, and what went wrong."""

    seed: int
    jobs: int = 0
    seconds: float = 0.0
    kills: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS_OF_KILL, 0))
    completed: int = 0
    cancelled: int = 0
    retried: int = 0
    lost: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    doubled_commits: list[str] = field(default_factory=list)
    left_processes: list[str] = field(default_factory=list)
    left_keys: list[str] = field(default_factory=list)
    left_files: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether no job was lost, wrong or committed twice, and nothing is left over."""
        problems = (self.lost, self.wrong, self.doubled_commits, self.left_processes, self.left_keys, self.left_files)
        return not any(problems)


def run(folder: Path, seconds: float, jobs: int, seed: int) -> Figures:
    """Submit `jobs` jobs over `seconds` while processes are killed, wait for all, and look for what went wrong.

    Some kills come at any moment, most of them while a step runs.
    """
    chance, kill_chance, figures = random.Random(seed), random.Random(seed + 1), Figures(seed)
    studies = _studies(folder)
    expected = _expected(folder, studies)
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[2])
    before, client_module.WORKER_TASKS = client_module.WORKER_TASKS, "tests.chaos.chaos_steps"
    client = ak.connect("embedded", home=folder / "home", workers=2, retries=100)
    paths = broker_paths(client.settings)
    submitted: dict[ak.Job, Path] = {}
    cancelled: dict[str, bool] = {}
    started, pids = time.monotonic(), set[int]()
    kill_at, is_for_a_step = kill_chance.uniform(1, 2), True
    try:
        while (now := time.monotonic() - started) < seconds or (
            now < seconds + EXTENSION_S and not _is_enough(figures, submitted)
        ):
            if len(submitted) < jobs * now / seconds:
                path = chance.choice(studies)
                job = client.submit(path, refresh=True)
                submitted[job] = path
                if chance.random() < 0.15:
                    time.sleep(chance.uniform(0, 0.4))
                    with suppress(ak.BrokerUnavailableError):
                        cancelled[job.id] = job.cancel()
            if now > kill_at and (not is_for_a_step or now > kill_at + STEP_WAIT_S or _runs_step(client, submitted)):
                kill_at, is_for_a_step = now + kill_chance.uniform(0.5, 3.0), kill_chance.random() < 0.7
                kind = kill_chance.choice(KINDS_OF_KILL)
                pids |= _broker_pids(paths)
                figures.kills[kind] += _kill(kind, paths, kill_chance)
            time.sleep(0.05)
        pids |= _broker_pids(paths)
        ends = time.monotonic() + END_LIMIT_S
        for job in submitted:
            job.wait(max(0.0, ends - time.monotonic()))
        figures.seconds = round(time.monotonic() - started, 1)
        pids |= _broker_pids(paths)
        _check_jobs(submitted, cancelled, expected, figures)
        _wait_for_cleanup(client)
        figures.left_keys = _wait_for_no_keys(client)
        _check_files(folder / "home" / "store", submitted, figures)
    finally:
        client_module.WORKER_TASKS = before
        client.close()
        embedded.stop(client.settings)
    figures.jobs = len(submitted)
    figures.left_processes = [str(pid) for pid in pids if _is_left(pid, folder)]
    figures.left_files += [str(path) for path in (paths.socket_folder,) if path.exists()]
    return figures


def _studies(folder: Path) -> list[Path]:
    """Return one study that is a single step, and two that are split."""
    sizes = [(1, 1, 20.0), (2, 2, 30.0), (4, 2, 30.0)]
    return [
        ak.sample_study(folder / f"study-{i}.zip", participants=p, trials=t, seed=i, trial_s=s)
        for i, (p, t, s) in enumerate(sizes)
    ]


def _expected(folder: Path, studies: list[Path]) -> dict[Path, ak.StudyResult]:
    """Return the result of each study when nothing disturbs it."""
    with ak.connect("local", home=folder / "undisturbed") as client:
        return {path: client.process(path) for path in studies}


def _runs_step(client, submitted) -> bool:
    """Return whether a worker has claimed a step; a broker that is away is started again."""
    with suppress(redis.RedisError, ak.BrokerUnavailableError):
        client.queue_status()
        jobs = client.backend._jobs
        steps_of_jobs = AttemptStore(jobs.connection, jobs.keys.namespace).pending_steps(
            [job.id for job in submitted]
        )
        return any(not {*steps.values()} <= {QUEUED, DELAYED} for steps in steps_of_jobs)
    return False


def _is_enough(figures: Figures, submitted) -> bool:
    """Return whether enough processes were killed and enough steps retried."""
    return sum(figures.kills.values()) >= MIN_KILLS and _count_retries(submitted) >= MIN_RETRIES


def _count_retries(submitted) -> int:
    retries = 0
    for job in submitted:
        with suppress(ak.BrokerUnavailableError):
            retries += job.log().count("is retried")
    return retries


def _broker_pids(paths) -> set[int]:
    """Return the ids of supervisor, server guard, server, workers and task processes."""
    with suppress(psutil.Error, OSError, ValueError):
        head = psutil.Process(int(paths.owner_lock.read_text()))
        return {head.pid, *(child.pid for child in head.children(recursive=True))}
    return set()


def _kill(kind: str, paths, chance: random.Random) -> int:
    """Kill one process of a kind, or all workers with their task processes; return how many."""
    try:
        owner = psutil.Process(int(paths.owner_lock.read_text()))
        if "supervisor" not in " ".join(owner.cmdline()):
            return 0
        workers = [
            child for child in owner.children() if "analytics_kit.backends.worker" in " ".join(child.cmdline())
        ]
        task_processes = [child for worker in workers for child in worker.children()]
        servers = [c for c in owner.children(recursive=True) if "server" in c.name() and "unixsocket" not in c.name()]
        chosen = {"task process": task_processes, "worker": workers, "server": servers, "supervisor": [owner]}.get(
            kind
        )
        victims = [*workers, *task_processes] if chosen is None else [chance.choice(chosen)] if chosen else []
        for victim in victims:
            victim.send_signal(signal.SIGKILL)
        return len(victims)
    except (psutil.Error, OSError, ValueError):
        return 0


def _check_jobs(submitted, cancelled, expected, figures: Figures) -> None:
    figures.retried = _count_retries(submitted)
    for job, path in submitted.items():
        name = f"{job.id} ({path.stem})"
        info = job.info()
        log = job.log()
        if cancelled.get(job.id):
            figures.cancelled += 1
            if info.status is not ak.JobStatus.CANCELLED:
                figures.wrong.append(f"{name} was cancelled and is {info.status}")
            continue
        if info.status is not ak.JobStatus.COMPLETED:
            figures.lost.append(f"{name} is {info.status} {info.error or info.notice}")
            continue
        figures.completed += 1
        if sum(line.endswith(" completed") for line in log.splitlines()) != 1:
            figures.doubled_commits.append(name)
        difference = _difference(job.result(), expected[path])
        if difference:
            figures.wrong.append(f"{name}: {difference}")


def _difference(result, expected) -> str:
    try:
        for table in TABLES:
            pd.testing.assert_frame_equal(getattr(result, table), getattr(expected, table))
        for kind in expected.kinds:
            pd.testing.assert_frame_equal(result.events(kind), expected.events(kind))
    except (AssertionError, ak.AnalyticsKitError) as error:
        return str(error)
    return "" if result.summary == expected.summary else "another summary"


def _wait_for_cleanup(client) -> None:
    """Wait until nothing is left to clean up; clients and workers take part in recovery meanwhile."""
    ends = time.monotonic() + 30
    while time.monotonic() < ends:
        with suppress(redis.RedisError, ak.BrokerUnavailableError):
            client.queue_status()
            connection = client.backend._jobs.connection
            if not connection.exists(KEYS.active, KEYS.cleanup, KEYS.delayed):
                return
        time.sleep(0.2)


def _wait_for_no_keys(client) -> list[str]:
    """Return the keys that are left after some time: a clean-up may have been queued twice, and still wait."""
    ends = time.monotonic() + LEFT_KEYS_LIMIT_S
    while (left := _left_keys(client)) and time.monotonic() < ends:
        time.sleep(0.2)
    return left


def _left_keys(client) -> list[str]:
    left = []
    client.queue_status()
    connection = client.backend._jobs.connection
    names = [key.decode() for key in connection.scan_iter(count=1000)]
    kept = (
        *(KEYS.submissions, KEYS.recovery_turn, KEYS.suspects, KEYS.swept, KEYS.pool),
        *("rq:worker", "rq:queues", "rq:clean"),
    )
    for name in names:
        is_record = ":job:" in name and name.rpartition(":")[2] not in ("flight", "told", "winners")
        is_index = name.endswith(":jobs") or ":result:" in name
        is_rqs = name.startswith(("rq:wip", "rq:failed", "rq:finished", "rq:canceled", "rq:execution"))
        if not (name.startswith(kept) or (name.startswith("ak:") and (is_record or is_index)) or is_rqs):
            left.append(name)
        elif name.startswith("ak:") and ":job:" in name and connection.ttl(name) < 0:
            left.append(f"{name} for ever")
    return left


def _check_files(store: Path, submitted, figures: Figures) -> None:
    """Expect of each completed job the files that its manifest names, and of others none."""
    results = {job.info().result["prefix"]: job for job in submitted if job.info().result}
    named = set()
    for prefix in results:
        manifest = store / prefix / "manifest.json"
        content = json.loads(manifest.read_text())
        named |= {manifest, *(store / path for path in content["tables"].values())}
        named |= {store / part["path"] for part in content["parts"]}
    known = {"store.id", ".swept", "manifest.json"}  # shards keep theirs, and no other job has one: see below
    found = {path for path in store.rglob("*") if path.is_file() and path.name not in known}
    folders = {str(Path(prefix).parent) for prefix in results}
    found |= {p for p in store.rglob("manifest.json") if str(p.parent.parent.relative_to(store)) not in folders}
    figures.left_files += sorted(str(path.relative_to(store)) for path in found - named)


def _is_left(pid: int, folder: Path) -> bool:
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and "analytics_kit" in " ".join(process.cmdline())
    return False


def main() -> int:
    """Run it and print its figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--jobs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    figures = run(folder, chosen.seconds, chosen.jobs, chosen.seed)
    print(json.dumps(asdict(figures), indent=1))
    if figures.is_clean:
        shutil.rmtree(folder)
    else:
        print(f"Left in {folder}", file=sys.stderr)
    return 0 if figures.is_clean else 1


if __name__ == "__main__":
    raise SystemExit(main())
