"""The project's own tasks, with parts so small that a small study has several, and so slow that kills find them."""

import time

from analytics_kit import worker_tasks as tasks
from analytics_kit.study.pipeline import distributed as fanout
from analytics_kit.study.pipeline import plan
from analytics_kit.study.pipeline import run as pipeline
from analytics_kit.study.store.store import Store

SHARD_BYTES = 100_000
WORK_S = 0.15
COMMIT_S = 0.1


def warm():
    """Whoever is forked from here cuts studies small, and takes its time."""
    plan.SHARD_BYTES = pipeline.SHARD_BYTES = SHARD_BYTES
    fanout.run_shard = pipeline.run_shard = _after(WORK_S, pipeline.run_shard)
    Store.commit = _after(COMMIT_S, Store.commit)
    tasks.warm()


def _after(seconds, act):
    def slow(*arguments, **more):
        time.sleep(seconds)
        done = act(*arguments, **more)
        time.sleep(seconds)
        return done

    return slow


discard, tidy = tasks.discard, tasks.tidy
