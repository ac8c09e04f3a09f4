"""Take an object store away while jobs run, for 15 s and for 60 s, beside a worker that has no credentials.

    python tests/chaos/store_chaos.py --jobs 8

A store that is away for 15 s fails no job; after 60 s a job may have failed, with the store's error. Every completed
job has the tables of an undisturbed run, and minutes later nothing of the others is left in the store.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import redis

sys.path.insert(0, str(Path(__file__).parents[2]))

import analytics_kit as ak
from analytics_kit.study.store.store import Store
from tests.object_store import CREDENTIALS, NO_CREDENTIALS, ObjectStore
from tests.processes import until
from tests.servers import RedisServer
from tests.test_object_store import worker

LIMIT_S = 600.0
CLEAN_UP_S = 120.0
"""A clean-up that found the store away is tried again every 10 s, by a worker that may lack credentials."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=8, help="jobs in each round")
    arguments = parser.parse_args()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    root = Path(tempfile.mkdtemp(prefix="store-chaos-"))
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[2])
    try:
        (root / "redis").mkdir()
        return _run(root, arguments.jobs)
    finally:
        shutil.rmtree(root)


def _run(root: Path, jobs: int) -> int:
    study = ak.sample_study(root / "study.zip", participants=8, trials=2, trial_s=4_000)
    with ak.connect("local", home=root / "alone") as alone:
        expected = alone.process(study).trials
    s3 = ObjectStore(root)
    os.environ |= s3.environment | CREDENTIALS
    url, wrong = s3.put("study.zip", study.read_bytes()), []
    with ExitStack() as running:
        server = running.enter_context(RedisServer(root / "redis"))
        running.callback(s3.stop)
        running.enter_context(worker(server.url, root / "refused", **NO_CREDENTIALS))
        for number in range(2):
            running.enter_context(worker(server.url, root / f"trusted-{number}"))
        with redis.Redis.from_url(server.url) as connection:
            until(lambda: connection.scard("rq:workers") == 3, "all workers listen", LIMIT_S)
        client = running.enter_context(ak.connect(server.url, home=root / "home", store="s3://lab/store"))
        for away_s in (0, 15, 60):
            began = time.monotonic()
            round_ = [client.submit(url, refresh=True, tags=[f"{away_s} s"]) for _ in range(jobs)]
            if away_s:
                until(lambda jobs=round_: any(job.progress.done for job in jobs), "a job has read something", LIMIT_S)
                s3.stop()
                time.sleep(away_s)  # the outage itself
                s3.start()
            errors = [job.exception(LIMIT_S) for job in round_]
            took_s = time.monotonic() - began
            print(f"away {away_s} s: {errors.count(None)} of {jobs} completed in {took_s:.0f} s", flush=True)
            wrong += [
                f"{e!r} after {away_s} s" for e in errors if e and (away_s < 60 or not isinstance(e, ak.StoreError))
            ]
            wrong += [
                f"{job.id} has other numbers"
                for job, error in zip(round_, errors, strict=True)
                if error is None and not job.result().trials.equals(expected)
            ]
        began = time.monotonic()
        left: list[str] = []
        while time.monotonic() - began < CLEAN_UP_S and (left := _left(client, s3)):
            time.sleep(1)
        print(f"left over: {len(left)} objects after {time.monotonic() - began:.0f} s", flush=True)
        wrong += left
    print("\n".join(wrong) or "nothing lost, wrong or left over")
    return bool(wrong)


def _left(client: ak.Client, s3: ObjectStore) -> list[str]:
    """Return the keys of objects that belong to no result."""
    needed = set()
    for job_id in client.jobs("completed").job_id:
        found = client.get_job(job_id).info().result
        manifest = Store(found["store"]).manifest(found["prefix"]) or {"tables": {}, "parts": []}
        needed |= {*manifest["tables"].values(), *(part["path"] for part in manifest["parts"])}
        needed.add(found["prefix"])
    folders = {path.rpartition("/")[0] for path in needed}
    keys = [key.removeprefix("store/") for key in s3.keys("store/results/")]
    return [
        key
        for key in keys
        if key not in needed
        and not (key.endswith("/manifest.json") and _holds(key.rpartition("/")[0], needed | folders))
    ]


def _holds(folder: str, paths: set[str]) -> bool:
    return any(path == folder or path.startswith(f"{folder}/") for path in paths)


if __name__ == "__main__":
    raise SystemExit(main())
