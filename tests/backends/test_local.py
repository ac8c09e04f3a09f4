"""The local backend keeps to one thread, also when it is closed and used again."""

from analytics_kit.backends.local import LocalBackend
from analytics_kit.model import JobStatus
from analytics_kit.settings import Settings
from tests.processes import until


def test_backend_that_is_closed_and_used_again_has_one_thread(make_request, gate):
    backend = LocalBackend(Settings.of())
    first = backend.submit(make_request("gated", gate=gate)).job_id
    until(lambda: backend.get(first).progress.fraction, "the first job runs")
    backend.close()
    second = backend.submit(make_request("parent")).job_id
    backend.close()
    backend.close()
    third = backend.submit(make_request("echo")).job_id
    assert [backend.get(job_id).status for job_id in (second, third)] == [JobStatus.QUEUED] * 2
    gate.touch()
    until(lambda: backend.get(third).status is JobStatus.COMPLETED, "all are done")
    ends = [backend.get(job_id).ended_at for job_id in (first, second, third)]
    assert ends == sorted(ends)
    backend.close()
