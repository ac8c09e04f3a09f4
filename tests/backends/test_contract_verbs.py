"""What every backend holds of cancel, retry, delete, log, limits; and the two capabilities in which they differ."""

import re
import subprocess
import sys
import threading
import time

import pytest

from analytics_kit.errors import JobNotFoundError, JobTimeoutError, SettingsError
from analytics_kit.model import JobStatus
from tests.backends.test_contract import at, ended, tells_all
from tests.processes import until


def test_many_are_asked_for_at_once_and_unknown_ones_left_out(backend, asked):
    ids = [backend.submit(asked("echo")).job_id for _ in range(3)]
    for job_id in ids:
        ended(backend, job_id)
    found = backend.get_many([*ids, "nonesuch", ids[0]])
    assert sorted(found) == sorted(ids)
    assert {job_id: backend.get(job_id) for job_id in ids} == found
    assert backend.get_many([]) == {}


class TestCancel:
    def test_a_queued_job_never_runs(self, backend, asked, gate, tmp_path):
        before = backend.submit(asked("gated", gate=gate)).job_id
        at(backend, before, 0.4)
        job_id = backend.submit(asked("marking", mark=tmp_path / "mark", beat=tmp_path / "beat")).job_id
        after = backend.submit(asked("echo")).job_id
        assert backend.cancel(job_id)
        info = backend.get(job_id)
        assert info.status is JobStatus.CANCELLED
        assert info.ended_at is not None
        assert info.started_at is None
        assert (info.error, info.result) == (None, None)
        gate.touch()
        assert ended(backend, after).status is JobStatus.COMPLETED
        assert not (tmp_path / "beat").exists()

    def test_a_running_job_is_cancelled_at_once_and_nothing_of_it_goes_on(self, backend, asked, tmp_path):
        mark, beat = tmp_path / "mark", tmp_path / "beat"
        job_id = backend.submit(asked("marking", mark=mark, beat=beat)).job_id
        at(backend, job_id, 0.4)
        assert backend.cancel(job_id)
        info = backend.get(job_id)
        assert info.status is JobStatus.CANCELLED
        assert ended(backend, backend.submit(asked("echo")).job_id).status is JobStatus.COMPLETED  # the next is taken
        last = beat.read_text()
        time.sleep(0.2)
        assert beat.read_text() == last
        if mark.exists() and not backend.kills_running:  # a backend that kills need not tell the task
            assert mark.read_text() == "JobCancelledError"
        assert backend.get(job_id) == info

    def test_a_task_that_swallows_its_cancel_changes_nothing(self, backend, asked, gate):
        job_id = backend.submit(asked("gated", gate=gate)).job_id
        at(backend, job_id, 0.4)
        assert backend.cancel(job_id)
        gate.touch()
        ended(backend, backend.submit(asked("echo")).job_id)
        info = backend.get(job_id)
        assert (info.status, info.result, info.error) == (JobStatus.CANCELLED, None, None)
        assert info.progress.fraction < 1

    def test_a_job_that_commits_completes(self, backend, asked, gate):
        job_id = backend.submit(asked("committing", gate=gate)).job_id
        until(lambda: "committing" in _state(backend, job_id), "it commits")
        assert not backend.cancel(job_id)
        gate.touch()
        assert ended(backend, job_id).status is JobStatus.COMPLETED

    @pytest.mark.parametrize("deed", ["echo", "refuse"])
    def test_a_job_that_has_ended_stays_as_it_is(self, backend, asked, deed):
        info = ended(backend, backend.submit(asked(deed)).job_id)
        assert not backend.cancel(info.job_id)
        assert backend.get(info.job_id) == info

    def test_twice_is_once(self, backend, asked, gate):
        blocker = backend.submit(asked("gated", gate=gate)).job_id
        job_id = backend.submit(asked("echo")).job_id
        answers, ready = [], threading.Barrier(4)

        def cancel():
            ready.wait()
            answers.append(backend.cancel(job_id))

        threads = [threading.Thread(target=cancel) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == [True] * 4, "it is cancelled, whoever asks"
        gate.touch()
        ended(backend, blocker)

    def test_is_heard_of(self, backend, asked, gate):
        job_id = backend.submit(asked("gated", gate=gate)).job_id
        at(backend, job_id, 0.4)
        timer = threading.Timer(0.1, backend.cancel, [job_id])
        timer.start()
        assert ended(backend, job_id).status is JobStatus.CANCELLED
        timer.join()

    def test_the_same_request_is_a_new_job(self, backend, asked, gate):
        blocker = backend.submit(asked("gated", gate=gate)).job_id
        request = asked("echo")
        first = backend.submit(request).job_id
        backend.cancel(first)
        second = backend.submit(request).job_id
        assert second != first
        gate.touch()
        ended(backend, blocker)
        assert ended(backend, second).status is JobStatus.COMPLETED


class TestRetry:
    def test_a_failed_job_is_done_again_by_a_new_one(self, backend, asked, gate):
        first = ended(backend, backend.submit(asked("failing_until", tags=("a",), gate=gate)).job_id)
        gate.touch()
        queued = backend.retry(first.job_id)
        second = ended(backend, queued.job_id)
        assert second.status is JobStatus.COMPLETED
        if tells_all(backend):
            assert second.result == {"done": True}
        assert second.job_id != first.job_id
        assert queued.retry_of == second.retry_of == first.job_id
        assert (second.result_key, second.source, second.size_bytes, second.tags, second.owner) == (
            first.result_key, first.source, first.size_bytes, first.tags, first.owner,
        )  # fmt: skip
        assert backend.get(first.job_id) == first
        assert first.retry_of is None

    def test_is_always_a_new_job_and_the_one_that_is_joined(self, backend, asked, gate):
        request = asked("failing_until", gate=gate)
        first = ended(backend, backend.submit(request).job_id).job_id
        gate.touch()
        retries = [backend.retry(first).job_id for _ in range(2)]
        assert len({first, *retries}) == 3
        assert backend.submit(request).job_id == retries[-1]
        assert {ended(backend, job_id).status for job_id in retries} == {JobStatus.COMPLETED}

    def test_a_cancelled_job_too(self, backend, asked, gate):
        blocker = backend.submit(asked("gated", gate=gate)).job_id
        job_id = backend.submit(asked("echo")).job_id
        backend.cancel(job_id)
        gate.touch()
        ended(backend, blocker)
        assert ended(backend, backend.retry(job_id).job_id).status is JobStatus.COMPLETED

    def test_other_jobs_are_refused_with_a_hint(self, backend, asked, gate):
        running = backend.submit(asked("gated", gate=gate)).job_id
        with pytest.raises(SettingsError):
            backend.retry(running)
        gate.touch()
        ended(backend, running)
        with pytest.raises(SettingsError, match="refresh=True"):
            backend.retry(running)


class TestDelete:
    @pytest.mark.parametrize("deed", ["echo", "refuse"])
    def test_an_ended_job_is_forgotten(self, backend, asked, deed):
        request = asked(deed)
        job_id = ended(backend, backend.submit(request).job_id).job_id
        backend.delete(job_id)
        with pytest.raises(JobNotFoundError):
            backend.get(job_id)
        assert backend.get_many([job_id]) == {}
        assert job_id not in [info.job_id for info in backend.list()]
        assert ended(backend, backend.submit(request).job_id).job_id != job_id

    def test_others_stay(self, backend, asked):
        request = asked("echo")
        first = ended(backend, backend.submit(request).job_id).job_id
        second = ended(backend, backend.submit(asked("echo", key=request.result_key, refresh=True)).job_id).job_id
        backend.delete(first)
        assert backend.submit(request).job_id == second

    def test_a_job_that_has_not_ended_is_refused(self, backend, asked, gate):
        running, queued = backend.submit(asked("gated", gate=gate)).job_id, backend.submit(asked("echo")).job_id
        at(backend, running, 0.4)
        for job_id in (running, queued):
            with pytest.raises(SettingsError):
                backend.delete(job_id)
        gate.touch()
        assert ended(backend, running).status is ended(backend, queued).status is JobStatus.COMPLETED

    def test_right_after_a_cancel(self, backend, asked, tmp_path):
        beat = tmp_path / "beat"
        job_id = backend.submit(asked("marking", mark=tmp_path / "mark", beat=beat)).job_id
        at(backend, job_id, 0.4)
        backend.cancel(job_id)
        backend.delete(job_id)
        assert ended(backend, backend.submit(asked("echo")).job_id).status is JobStatus.COMPLETED
        with pytest.raises(JobNotFoundError):
            backend.get(job_id)

    def test_is_heard_of(self, backend, asked):
        job_id = ended(backend, backend.submit(asked("echo")).job_id).job_id
        with backend.changes() as changes:
            changes.wait(0.01)  # what was there already
            backend.delete(job_id)
            assert changes.wait(10)


class TestLog:
    def test_tells_what_happened(self, backend, asked):
        job_id = backend.submit(asked("steps")).job_id
        ended(backend, job_id)
        lines = [_worded(line) for line in backend.log(job_id)]
        heads = [next(at for at, line in enumerate(lines) if word in line) for word in _STEPS]
        assert heads == sorted(heads)
        assert lines[0].startswith("queued")

    def test_of_a_queued_job(self, backend, asked, gate):
        blocker = backend.submit(asked("gated", gate=gate)).job_id
        job_id = backend.submit(asked("echo")).job_id
        assert [_worded(line) for line in backend.log(job_id)] == ["queued"]
        backend.cancel(job_id)
        assert "cancelled" in _worded(backend.log(job_id)[-1])
        gate.touch()
        ended(backend, blocker)

    def test_of_a_failure_has_the_end_of_the_traceback(self, backend, asked):
        job_id = backend.submit(asked("refuse")).job_id
        ended(backend, job_id)
        text = "\n".join(backend.log(job_id))
        assert "failed" in text
        assert "BadArchiveError: the ZIP is torn: ünïcode <b>" in text
        assert "sample_steps.py" in text


_STEPS = ("queued", "started", "processing", "completed")


def _worded(line):
    """The words of a line of the log, behind its time."""
    found = re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (.*)", line)
    assert found, line
    return found[1]


def _state(backend, job_id):
    """The state in which the record is; the one thing that the contract does not show."""
    store = backend if hasattr(backend, "_records") else backend._jobs
    return str((store._record(job_id) if store is backend else store.get(job_id)).state)


class TestTimeLimit:
    def test_a_job_that_reports_fails_by_name(self, backend, asked, tmp_path):
        request = asked("marking", time_limit_s=0.5, mark=tmp_path / "mark", beat=tmp_path / "beat")
        info = ended(backend, backend.submit(request).job_id)
        assert info.status is JobStatus.FAILED
        assert isinstance(info.error.error(), JobTimeoutError)
        assert "0.5 s" in info.error.message
        assert ended(backend, backend.submit(asked("echo")).job_id).status is JobStatus.COMPLETED

    def test_a_job_that_is_late_is_not_committed(self, backend, asked):
        info = ended(backend, backend.submit(asked("late", time_limit_s=0.2, after_s=3)).job_id)
        assert (info.status, info.result) == (JobStatus.FAILED, None)
        assert isinstance(info.error.error(), JobTimeoutError)

    def test_waiting_does_not_count(self, backend, asked, gate):
        blocker = backend.submit(asked("gated", gate=gate)).job_id
        job_id = backend.submit(asked("echo", time_limit_s=2)).job_id
        time.sleep(2.5)
        gate.touch()
        ended(backend, blocker)
        assert ended(backend, job_id).status is JobStatus.COMPLETED

    def test_a_retry_has_it_too(self, backend, asked, tmp_path):
        request = asked("marking", time_limit_s=0.5, mark=tmp_path / "mark", beat=tmp_path / "beat")
        job_id = ended(backend, backend.submit(request).job_id).job_id
        assert isinstance(ended(backend, backend.retry(job_id).job_id).error.error(), JobTimeoutError)


@pytest.mark.parametrize("verb", ["get", "cancel", "retry", "delete", "log"])
def test_an_unknown_job_is_an_error_of_every_verb(backend, verb):
    with pytest.raises(JobNotFoundError, match="'nonesuch'"):
        getattr(backend, verb)("nonesuch")


class TestKillsRunning:
    """Capability `kills_running`: work that does not report is ended too, and memory can be limited."""

    def test_a_task_that_never_reports(self, backend, asked, gate):
        job_id = backend.submit(asked("stuck", gate=gate)).job_id
        at(backend, job_id, 0.4)
        assert backend.cancel(job_id)
        after = backend.submit(asked("echo")).job_id
        if not backend.kills_running:
            time.sleep(0.3)
            assert backend.get(after).status is JobStatus.QUEUED  # it has to be waited for
            gate.touch()
        assert ended(backend, after).status is JobStatus.COMPLETED

    def test_its_time_limit(self, backend, asked, gate):
        job_id = backend.submit(asked("stuck", time_limit_s=0.5, gate=gate)).job_id
        at(backend, job_id, 0.4)
        if not backend.kills_running:
            time.sleep(0.8)
            assert backend.get(job_id).status is JobStatus.RUNNING
            gate.touch()
        assert isinstance(ended(backend, job_id).error.error(), JobTimeoutError)

    def test_a_memory_limit_needs_it(self, backend, asked):
        request = asked("echo", memory_limit_mb=4000)
        if backend.kills_running:
            assert ended(backend, backend.submit(request).job_id).status is JobStatus.COMPLETED
            return
        before = len(backend.list())
        with pytest.raises(SettingsError, match="can't be killed"):
            backend.submit(request)
        assert len(backend.list()) == before


def test_survives_process(backend):
    """Capability `survives_process`: jobs are remembered when the process that submitted them has ended."""
    if not backend.survives_process:
        code = """
from analytics_kit.backends.local import LocalBackend
from analytics_kit.model import JobRequest
from analytics_kit.settings import Settings
print(LocalBackend(Settings.of()).submit(JobRequest("tests.backends.sample_steps.echo", {}, "survives", "/data/study.zip")).job_id)
"""
    elif backend.name == "redis":
        code = f"""
from analytics_kit.backends.redis.backend import RedisBackend
from analytics_kit.model import JobRequest
from analytics_kit.settings import Settings
backend = RedisBackend({backend._url!r}, Settings.of(namespace="contract"), "tests.backends.sample_steps")
print(backend.submit(JobRequest("tests.backends.sample_steps.echo", {{}}, "survives", "/data/study.zip")).job_id)
"""
    elif backend.name == "http":
        code = f"""
from tests.backends.http_backend import connected
from analytics_kit.model import JobRequest
backend = connected({backend._line.name!r}, {str(backend._home)!r})
print(backend.submit(JobRequest("tests.backends.sample_steps.echo", {{}}, "survives", "/data/study.zip")).job_id)
"""
    else:
        code = f"""
from analytics_kit.backends.embedded.backend import EmbeddedBackend
from analytics_kit.model import JobRequest
from analytics_kit.settings import Settings
backend = EmbeddedBackend(Settings.of(home={str(backend._settings.home)!r}, workers=1), "tests.backends.sample_steps")
print(backend.submit(JobRequest("tests.backends.sample_steps.echo", {{}}, "survives", "/data/study.zip")).job_id)
"""
    job_id = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    if backend.survives_process:
        assert ended(backend, job_id).status is JobStatus.COMPLETED
    else:
        with pytest.raises(JobNotFoundError, match=job_id):
            backend.get(job_id)
