"""Jobs in a kernel that a test controls; imported by the cells of tests."""

import gc
import threading

import ipywidgets

from analytics_kit.job import Job
from analytics_kit.model import Failure, JobStatus, Progress
from analytics_kit.notebook.html_widget import HtmlWidget
from analytics_kit.watcher import Watcher
from tests.fake_backend import FakeBackend
from tests.processes import later  # noqa: F401  the cells of tests call it

RUNNING = {"status": JobStatus.RUNNING, "progress": Progress("processing", 40, 100, fraction=0.4)}
FAILED = {"status": JobStatus.FAILED, "error": Failure("BadArchiveError", "torn", "mend it")}
SUMMARY = {
    "participants": 1, "trials": 3, "rows_kept": 9, "issues": 0, "events": {"keyboard": 9},
}  # fmt: skip
COMPLETED = {"status": JobStatus.COMPLETED, "result": {"store": "", "prefix": "", "summary": SUMMARY}}

fake = FakeBackend()
watcher = Watcher(fake)


def make_job(**changes):
    """Return a job with these fields."""
    return Job(watcher, fake.put(**changes))


def end_job(job, **changes):
    """End a job, completed unless `changes` give another state."""
    fake.change(job, **(changes or COMPLETED))


def report_progress(jobs, stop):
    """Report progress of all jobs all the time, until the event `stop` is set."""

    def report():
        done = 0
        while not stop.wait(0.01):
            done += 1
            for job in jobs:
                fake.change(job, progress=Progress("processing", done, fraction=0.4 + done / 10**6, rows=done))

    threading.Thread(target=report, daemon=True).start()


def leftovers():
    """Return the numbers of widgets, listeners and live boxes, and the names of our threads."""
    gc.collect()
    widgets = ipywidgets.widgets.widget._instances
    boxes = [each for each in widgets.values() if isinstance(each, HtmlWidget)]
    threads = [each.name for each in threading.enumerate() if each.name.startswith("analytics_kit")]
    return {"widgets": len(widgets), "boxes": len(boxes), "listeners": len(watcher._listeners), "threads": threads}


def count_boxes_in_memory():
    """Return the number of live boxes in memory, closed or not."""
    gc.collect()
    return sum(isinstance(each, HtmlWidget) for each in gc.get_objects() if type(each).__name__ == "HtmlWidget")
