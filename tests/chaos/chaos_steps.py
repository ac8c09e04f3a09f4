"""The package's own tasks, with shards so small that a small study has several, and slow enough to be killed."""

import time

from analytics_kit import worker_tasks as tasks
from analytics_kit.study.pipeline import distributed, plan
from analytics_kit.study.pipeline import run as pipeline
from analytics_kit.study.store.store import Store

SHARD_BYTES = 100_000
WORK_S = 0.15
COMMIT_S = 0.1


def warm():
    """Make all processes that are forked from this one split studies into small shards, and work slowly."""
    plan.SHARD_BYTES = pipeline.SHARD_BYTES = SHARD_BYTES
    distributed.run_shard = pipeline.run_shard = _slowed(WORK_S, pipeline.run_shard)
    Store.commit = _slowed(COMMIT_S, Store.commit)
    tasks.warm()


def _slowed(seconds, call):
    def run(*arguments, **options):
        time.sleep(seconds)
        answer = call(*arguments, **options)
        time.sleep(seconds)
        return answer

    return run


discard, tidy, STEPS = tasks.discard, tasks.tidy, tasks.STEPS
