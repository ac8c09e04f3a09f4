"""Wait for jobs of a backend."""

from analytics_kit.errors import BrokerUnavailableError
from tests.processes import until


def wait_for_end(backend, job_id, limit_s=60):
    """Return the job once it has ended; a broker that is away meanwhile is waited for."""

    def ended():
        try:
            return (info := backend.get(job_id)).status.final and info
        except BrokerUnavailableError:
            return None

    return until(ended, "the job has ended", limit_s)


def observe_end(backend, job_id):
    """Return the job once it has ended, by waiting for changes as every reader does."""
    with backend.changes() as changes:
        while not (info := backend.get(job_id)).status.final:
            changes.wait(1)
    return info


def wait_for_fraction(backend, job_id, fraction):
    """Return the job once its progress has reached a fraction."""
    return until(lambda: (info := backend.get(job_id)).progress.fraction >= fraction and info, f"{fraction} is done")
