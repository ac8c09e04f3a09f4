"""A backend that runs nothing: tests set the state of its jobs."""

import itertools
import threading
from dataclasses import replace
from datetime import UTC, datetime

import analytics_kit as ak
from analytics_kit.backends.base import ANY_JOB
from analytics_kit.errors import BrokerUnavailableError
from analytics_kit.job import Job
from analytics_kit.model import JobInfo, JobStatus, Progress

_ids = itertools.count()


class FakeBackend:
    """A backend whose jobs are what the test sets, and that can be unreachable (`away` is the reason)."""

    name = "redis"
    notice = ""
    survives_process = kills_running = True

    def __init__(self):
        self.infos, self.away, self.read_count = {}, None, 0
        self._changed = threading.Condition()

    def put(self, **changes):
        """Add a job with these fields."""
        fields = {
            "job_id": f"job-{next(_ids)}",
            "status": JobStatus.QUEUED,
            "source": "/data/study.zip",
            "result_key": "key",
            "created_at": datetime.now(UTC),
        }
        info = JobInfo(**(fields | changes))
        with self._changed:
            self.infos[info.job_id] = info
            self._changed.notify_all()
        return info

    def change(self, job, **changes):
        with self._changed:
            self.infos[job.id] = replace(self.infos[job.id], **changes)
            self._changed.notify_all()

    def end(self, job, status=JobStatus.COMPLETED, **changes):
        self.change(job, status=status, progress=Progress(fraction=1.0), **changes)

    def notify(self):
        """Let readers that wait for changes read at once."""
        with self._changed:
            self._changed.notify_all()

    def get(self, job_id):
        found = self.get_many([job_id])
        if not found:
            raise ak.JobNotFoundError(f"No job has the id {job_id!r} here.")
        return found[job_id]

    def get_many(self, job_ids):
        self.read_count += 1
        if self.away:
            raise BrokerUnavailableError(self.away)
        return {job_id: self.infos[job_id] for job_id in job_ids if job_id in self.infos}

    def cancel(self, job_id):
        if self.away:
            raise BrokerUnavailableError(self.away)
        self.end(Job(None, self.infos[job_id]), JobStatus.CANCELLED)
        return True

    def retry(self, job_id):
        return self.put(source=self.infos[job_id].source, retry_of=job_id)

    def list(self, status=None):
        if self.away:
            raise BrokerUnavailableError(self.away)
        return list(self.infos.values())

    def queue_status(self):
        return {"backend": self.name, "workers": 2, "workers_busy": 1}

    def delete(self, job_id):
        with self._changed:
            del self.infos[job_id]
            self._changed.notify_all()

    def study_location(self, job_id):
        return None

    def log(self, job_id):
        return [f"log of {job_id}"]

    def changes(self):
        return self

    def wait(self, timeout_s):
        with self._changed:
            return ANY_JOB if self._changed.wait(timeout_s) else frozenset()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None
