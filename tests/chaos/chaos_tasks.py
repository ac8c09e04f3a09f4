"""The project's own tasks, with parts so small that a small study has several of them."""

from analytics_kit import tasks
from analytics_kit.study import plan

SHARD_BYTES = 400_000


def warm():
    """Whoever is forked from here cuts studies small."""
    plan.SHARD_BYTES = SHARD_BYTES
    tasks.warm()


discard, tidy = tasks.discard, tasks.tidy
