"""Wait for jobs of a backend."""

from analytics_kit.backends.local import LocalBackend
from analytics_kit.backends.record import RecordState
from tests.processes import until


def wait_for_end(backend, job_id, ignored=()):
    """Return the job once it has ended; while reading it raises one of the exceptions `ignored`, go on waiting."""

    def ended():
        try:
            return (info := backend.get(job_id)).status.final and info
        except ignored:
            return None

    return until(ended, "the job has ended", 60)


def observe_end(backend, job_id):
    """Return the job once it has ended, by waiting for changes as every reader does."""
    with backend.changes() as changes:
        while not (info := backend.get(job_id)).status.final:
            changes.wait(1)
    return info


def wait_for_fraction(backend, job_id, fraction):
    """Return the job once its progress has reached a fraction."""
    return until(lambda: (info := backend.get(job_id)).progress.fraction >= fraction and info, f"{fraction} is done")


def wait_for_commit(backend, job_id):
    """Wait until the job is committing, which only its record shows: its status is still running."""
    get_record = backend._record if isinstance(backend, LocalBackend) else backend._jobs.get
    until(lambda: get_record(job_id).state is RecordState.COMMITTING, "the job commits")
