"""The job, its steps and its split that the tests of stores use."""

from analytics_kit.backends.record import Attempt
from analytics_kit.model import Failure, Split

BEGIN = Attempt("job-1")
SPLIT = Split(
    shards=3,
    total=300,
    shard_task="tests.backends.sample_steps.process_one",
    merge_task="tests.backends.sample_steps.merge_all",
)
FAILURE = Failure("WorkerLostError", "gone")


def shard(index, number=1):
    """Attempt `number` at one shard of the job."""
    return Attempt("job-1", f"part-{index}", number)
