"""What every backend does on cancel, retry, delete, log and limits, and the two capabilities in which they differ."""

import re
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest

from analytics_kit.backends.base import RecordKeeper, RemoteBackend
from analytics_kit.errors import JobNotFoundError, JobTimeoutError, SettingsError
from analytics_kit.model import JobStatus
from tests.backends.test_contract import shows_records
from tests.backends.waiting import observe_end, wait_for_commit, wait_for_fraction


def test_get_many_leaves_out_unknown_jobs(backend, make_request):
    ids = [backend.submit(make_request("echo")).job_id for _ in range(3)]
    for job_id in ids:
        observe_end(backend, job_id)
    found = backend.get_many([*ids, "nonesuch", ids[0]])
    assert sorted(found) == sorted(ids)
    assert {job_id: backend.get(job_id) for job_id in ids} == found
    assert backend.get_many([]) == {}


def test_study_location_is_the_one_that_was_submitted(backend, make_request):
    location = "https://host/study.zip?token=secret"
    job_id = backend.submit(make_request("echo", source=location)).job_id
    assert backend.study_location(job_id) == (None if backend.name == "http" else location)
    assert location not in observe_end(backend, job_id).source
    if backend.name != "http":  # where all jobs but those still to be uploaded are the server's
        with pytest.raises(JobNotFoundError):
            backend.study_location("nonesuch")


class TestCancel:
    def test_cancelled_queued_job_never_runs(self, backend, make_request, gate, tmp_path):
        before = backend.submit(make_request("gated", gate=gate)).job_id
        wait_for_fraction(backend, before, 0.4)
        job_id = backend.submit(
            make_request("report_until_stopped", mark=tmp_path / "mark", beat=tmp_path / "beat")
        ).job_id
        after = backend.submit(make_request("echo")).job_id
        assert backend.cancel(job_id)
        info = backend.get(job_id)
        assert info.status is JobStatus.CANCELLED
        assert info.ended_at is not None
        assert info.started_at is None
        assert (info.error, info.result) == (None, None)
        gate.touch()
        assert observe_end(backend, after).status is JobStatus.COMPLETED
        assert not (tmp_path / "beat").exists()

    def test_cancelled_running_job_stops_at_once(self, backend, make_request, tmp_path):
        mark, beat = tmp_path / "mark", tmp_path / "beat"
        job_id = backend.submit(make_request("report_until_stopped", mark=mark, beat=beat)).job_id
        wait_for_fraction(backend, job_id, 0.4)
        assert backend.cancel(job_id)
        info = backend.get(job_id)
        assert info.status is JobStatus.CANCELLED
        after = backend.submit(make_request("echo")).job_id
        assert observe_end(backend, after).status is JobStatus.COMPLETED
        last = beat.read_text()
        time.sleep(0.2)
        assert beat.read_text() == last
        if not backend.kills_running:  # a backend that kills does not raise in the step
            assert mark.read_text() == "JobCancelledError"
        assert backend.get(job_id) == info

    def test_step_that_ignores_its_cancellation_changes_nothing(self, backend, make_request, gate):
        job_id = backend.submit(make_request("gated", gate=gate)).job_id
        wait_for_fraction(backend, job_id, 0.4)
        assert backend.cancel(job_id)
        gate.touch()
        observe_end(backend, backend.submit(make_request("echo")).job_id)
        info = backend.get(job_id)
        assert (info.status, info.result, info.error) == (JobStatus.CANCELLED, None, None)
        assert info.progress.fraction < 1

    def test_committing_job_is_not_cancelled_and_completes(self, backend, make_request, gate):
        job_id = backend.submit(make_request("committing", gate=gate)).job_id
        wait_for_commit(backend, job_id)
        assert not backend.cancel(job_id)
        gate.touch()
        assert observe_end(backend, job_id).status is JobStatus.COMPLETED

    @pytest.mark.parametrize("step_name", ["echo", "fail"])
    def test_ended_job_is_not_changed(self, backend, make_request, step_name):
        info = observe_end(backend, backend.submit(make_request(step_name)).job_id)
        assert not backend.cancel(info.job_id)
        assert backend.get(info.job_id) == info

    def test_repeated_cancel_returns_true(self, backend, make_request, gate):
        blocker = backend.submit(make_request("gated", gate=gate)).job_id
        job_id = backend.submit(make_request("echo")).job_id
        answers, ready = [], threading.Barrier(4)

        def cancel():
            ready.wait()
            answers.append(backend.cancel(job_id))

        threads = [threading.Thread(target=cancel) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == [True] * 4, "each caller sees that it is cancelled"
        gate.touch()
        observe_end(backend, blocker)

    def test_cancel_is_published(self, backend, make_request, gate):
        job_id = backend.submit(make_request("gated", gate=gate)).job_id
        wait_for_fraction(backend, job_id, 0.4)
        timer = threading.Timer(0.1, backend.cancel, [job_id])
        timer.start()
        assert observe_end(backend, job_id).status is JobStatus.CANCELLED
        timer.join()

    def test_same_request_after_a_cancel_makes_a_new_job(self, backend, make_request, gate):
        blocker = backend.submit(make_request("gated", gate=gate)).job_id
        request = make_request("echo")
        first = backend.submit(request).job_id
        backend.cancel(first)
        second = backend.submit(request).job_id
        assert second != first
        gate.touch()
        observe_end(backend, blocker)
        assert observe_end(backend, second).status is JobStatus.COMPLETED


class TestRetry:
    def test_failed_job_is_retried_as_a_new_job(self, backend, make_request, gate):
        first = observe_end(backend, backend.submit(make_request("failing_until", tags=("a",), gate=gate)).job_id)
        gate.touch()
        queued = backend.retry(first.job_id)
        second = observe_end(backend, queued.job_id)
        assert second.status is JobStatus.COMPLETED
        if shows_records(backend):
            assert second.result == {"done": True}
        assert second.job_id != first.job_id
        assert queued.retry_of == second.retry_of == first.job_id
        assert (second.result_key, second.source, second.size_bytes, second.tags, second.owner) == (
            first.result_key, first.source, first.size_bytes, first.tags, first.owner,
        )  # fmt: skip
        assert backend.get(first.job_id) == first
        assert first.retry_of is None

    def test_each_retry_is_a_new_job_and_the_newest_is_joined(self, backend, make_request, gate):
        request = make_request("failing_until", gate=gate)
        first = observe_end(backend, backend.submit(request).job_id).job_id
        gate.touch()
        retries = [backend.retry(first).job_id for _ in range(2)]
        assert len({first, *retries}) == 3
        assert backend.submit(request).job_id == retries[-1]
        assert {observe_end(backend, job_id).status for job_id in retries} == {JobStatus.COMPLETED}

    def test_cancelled_job_is_retried(self, backend, make_request, gate):
        blocker = backend.submit(make_request("gated", gate=gate)).job_id
        job_id = backend.submit(make_request("echo")).job_id
        backend.cancel(job_id)
        gate.touch()
        observe_end(backend, blocker)
        assert observe_end(backend, backend.retry(job_id).job_id).status is JobStatus.COMPLETED

    def test_running_or_completed_job_is_not_retried(self, backend, make_request, gate):
        running = backend.submit(make_request("gated", gate=gate)).job_id
        with pytest.raises(SettingsError):
            backend.retry(running)
        gate.touch()
        observe_end(backend, running)
        with pytest.raises(SettingsError, match="refresh=True"):
            backend.retry(running)


class TestDelete:
    @pytest.mark.parametrize("step_name", ["echo", "fail"])
    def test_deleted_job_is_unknown(self, backend, make_request, step_name):
        request = make_request(step_name)
        job_id = observe_end(backend, backend.submit(request).job_id).job_id
        backend.delete(job_id)
        with pytest.raises(JobNotFoundError):
            backend.get(job_id)
        assert backend.get_many([job_id]) == {}
        assert job_id not in [info.job_id for info in backend.list()]
        assert observe_end(backend, backend.submit(request).job_id).job_id != job_id

    def test_delete_keeps_other_jobs_of_the_result(self, backend, make_request):
        request = make_request("echo")
        first = observe_end(backend, backend.submit(request).job_id).job_id
        second = observe_end(
            backend, backend.submit(make_request("echo", key=request.result_key, refresh=True)).job_id
        ).job_id
        backend.delete(first)
        assert backend.submit(request).job_id == second

    def test_delete_of_all_jobs_of_a_result_the_newest_first(self, backend, make_request):
        ids = []
        for _ in range(2):
            ids.append(backend.submit(make_request("echo", key="twice", refresh=True)).job_id)
            observe_end(backend, ids[-1])
        for job_id in reversed(ids):
            backend.delete(job_id)
        assert not backend.get_many(ids)

    def test_delete_of_a_job_that_has_not_ended_is_refused(self, backend, make_request, gate):
        running = backend.submit(make_request("gated", gate=gate)).job_id
        queued = backend.submit(make_request("echo")).job_id
        wait_for_fraction(backend, running, 0.4)
        for job_id in (running, queued):
            with pytest.raises(SettingsError):
                backend.delete(job_id)
        gate.touch()
        assert observe_end(backend, running).status is observe_end(backend, queued).status is JobStatus.COMPLETED

    def test_delete_right_after_cancel_works(self, backend, make_request, tmp_path):
        beat = tmp_path / "beat"
        job_id = backend.submit(make_request("report_until_stopped", mark=tmp_path / "mark", beat=beat)).job_id
        wait_for_fraction(backend, job_id, 0.4)
        backend.cancel(job_id)
        backend.delete(job_id)
        assert observe_end(backend, backend.submit(make_request("echo")).job_id).status is JobStatus.COMPLETED
        with pytest.raises(JobNotFoundError):
            backend.get(job_id)

    def test_delete_is_published(self, backend, make_request):
        job_id = observe_end(backend, backend.submit(make_request("echo")).job_id).job_id
        with backend.changes() as changes:
            changes.wait(0.01)  # changes from before
            backend.delete(job_id)
            assert changes.wait(10)


class TestLog:
    def test_log_lists_what_happened_in_order(self, backend, make_request):
        job_id = backend.submit(make_request("report_in_steps")).job_id
        observe_end(backend, job_id)
        lines = [_text(line) for line in backend.log(job_id)]
        positions = [next(at for at, line in enumerate(lines) if word in line) for word in _PHASES]
        assert positions == sorted(positions)
        assert lines[0].startswith("queued")

    def test_log_of_a_queued_job_grows_when_it_is_cancelled(self, backend, make_request, gate):
        blocker = backend.submit(make_request("gated", gate=gate)).job_id
        job_id = backend.submit(make_request("echo")).job_id
        assert [_text(line) for line in backend.log(job_id)] == ["queued"]
        backend.cancel(job_id)
        assert "cancelled" in _text(backend.log(job_id)[-1])
        gate.touch()
        observe_end(backend, blocker)

    def test_log_of_a_failed_job_has_the_end_of_the_traceback(self, backend, make_request):
        job_id = backend.submit(make_request("fail")).job_id
        observe_end(backend, job_id)
        text = "\n".join(backend.log(job_id))
        assert "failed" in text
        assert "BadArchiveError: the ZIP is torn: ünïcode <b>" in text
        assert "sample_steps.py" in text


_PHASES = ("queued", "started", "processing", "completed")


def _text(line):
    """Return the text of a log line, behind its time."""
    match = re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (.*)", line)
    assert match, line
    return match[1]


class TestTimeLimit:
    def test_job_that_reports_fails_at_its_time_limit(self, backend, make_request, tmp_path):
        request = make_request(
            "report_until_stopped", time_limit_s=0.5, mark=tmp_path / "mark", beat=tmp_path / "beat"
        )
        info = observe_end(backend, backend.submit(request).job_id)
        assert info.status is JobStatus.FAILED
        assert isinstance(info.error.error(), JobTimeoutError)
        assert "0.5 s" in info.error.message
        assert observe_end(backend, backend.submit(make_request("echo")).job_id).status is JobStatus.COMPLETED

    def test_job_that_commits_after_its_time_limit_fails(self, backend, make_request):
        info = observe_end(backend, backend.submit(make_request("commit_late", time_limit_s=0.2, after_s=3)).job_id)
        assert (info.status, info.result) == (JobStatus.FAILED, None)
        assert isinstance(info.error.error(), JobTimeoutError)

    def test_time_in_the_queue_does_not_count(self, backend, make_request, gate):
        blocker = backend.submit(make_request("gated", gate=gate)).job_id
        job_id = backend.submit(make_request("echo", time_limit_s=2)).job_id
        time.sleep(2.5)
        gate.touch()
        observe_end(backend, blocker)
        assert observe_end(backend, job_id).status is JobStatus.COMPLETED

    def test_retry_keeps_the_time_limit(self, backend, make_request, tmp_path):
        request = make_request(
            "report_until_stopped", time_limit_s=0.5, mark=tmp_path / "mark", beat=tmp_path / "beat"
        )
        job_id = observe_end(backend, backend.submit(request).job_id).job_id
        assert isinstance(observe_end(backend, backend.retry(job_id).job_id).error.error(), JobTimeoutError)


@pytest.mark.parametrize("verb", ["get", "cancel", "retry", "delete", "log"])
def test_every_verb_raises_for_an_unknown_job(backend, verb):
    with pytest.raises(JobNotFoundError, match="'nonesuch'"):
        getattr(backend, verb)("nonesuch")


class TestKillsRunning:
    """Capability `kills_running`: steps that never report can be ended, and memory can be limited."""

    def test_cancelled_step_that_never_reports_is_killed(self, backend, make_request, gate):
        job_id = backend.submit(make_request("stuck", gate=gate)).job_id
        wait_for_fraction(backend, job_id, 0.4)
        assert backend.cancel(job_id)
        after = backend.submit(make_request("echo")).job_id
        if not backend.kills_running:
            time.sleep(0.3)
            assert backend.get(after).status is JobStatus.QUEUED  # the thread has to wait for it
            gate.touch()
        assert observe_end(backend, after).status is JobStatus.COMPLETED

    def test_step_that_never_reports_is_killed_at_its_time_limit(self, backend, make_request, gate):
        job_id = backend.submit(make_request("stuck", time_limit_s=0.5, gate=gate)).job_id
        wait_for_fraction(backend, job_id, 0.4)
        if not backend.kills_running:
            time.sleep(0.8)
            assert backend.get(job_id).status is JobStatus.RUNNING
            gate.touch()
        assert isinstance(observe_end(backend, job_id).error.error(), JobTimeoutError)

    def test_memory_limit_is_accepted_only_where_steps_can_be_killed(self, backend, make_request):
        request = make_request("echo", memory_limit_mb=4000)
        if backend.kills_running:
            assert observe_end(backend, backend.submit(request).job_id).status is JobStatus.COMPLETED
            return
        before = len(backend.list())
        with pytest.raises(SettingsError, match="can't be killed"):
            backend.submit(request)
        assert len(backend.list()) == before


def test_job_outlives_the_process_that_submitted_it_only_with_the_capability(backend):
    """Capability `survives_process`."""
    if not backend.survives_process:
        code = """
from analytics_kit.backends.local import LocalBackend
from analytics_kit.model import JobRequest
from analytics_kit.settings import Settings
backend = LocalBackend(Settings.of())
print(backend.submit(JobRequest("tests.backends.sample_steps.echo", {}, "survives", "/data/study.zip")).job_id)
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
backend = connected({backend._transport.server_url!r}, {str(backend._home)!r})
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
        assert observe_end(backend, job_id).status is JobStatus.COMPLETED
    else:
        with pytest.raises(JobNotFoundError, match=job_id):
            backend.get(job_id)


class TestAmend:
    """What a record says can be changed once its job has ended, by backends whose records this process has."""

    def test_only_a_server_keeps_its_records_to_itself(self, backend):
        assert isinstance(backend, RecordKeeper) is (backend.name != "http")
        assert isinstance(backend, RemoteBackend) is (backend.name == "http")

    def test_texts_and_log_lines_change_together(self, backend, make_request):
        if backend.name == "http":
            return
        job_id = backend.submit(make_request("echo", tags=("pilot", "anna"), source="/data/anna.zip")).job_id
        before = observe_end(backend, job_id)
        log = list(backend.log(job_id))

        def edit(record):
            return replace(record, tags=("pilot",), source="/data/removed", created_at=0.0, state="queued")

        assert backend.amend(job_id, edit, lambda line: line.replace("queued", "removed"))
        after = backend.get(job_id)
        assert (after.tags, after.source) == (("pilot",), "/data/removed")
        assert replace(after, tags=before.tags, source=before.source) == before
        assert list(backend.log(job_id)) == [line.replace("queued", "removed") for line in log] != log
        assert job_id in [record.job_id for record in backend.records()]

    def test_nothing_to_change_changes_nothing(self, backend, make_request):
        if backend.name == "http":
            return
        job_id = backend.submit(make_request("echo")).job_id
        observe_end(backend, job_id)
        assert not backend.amend(job_id, lambda record: record, str)
        assert not backend.amend("nonesuch", lambda record: replace(record, source="x"), str)

    def test_a_job_that_has_not_ended_is_left_as_it_is(self, backend, make_request, gate):
        if backend.name == "http":
            return
        job_id = backend.submit(make_request("gated", gate=gate)).job_id
        wait_for_fraction(backend, job_id, 0.4)
        assert not backend.amend(job_id, lambda record: replace(record, source="x"), lambda line: "x")
        assert backend.get(job_id).source != "x"
        gate.touch()
        observe_end(backend, job_id)
