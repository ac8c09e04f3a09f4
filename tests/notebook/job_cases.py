"""Jobs of each status for the tests of their HTML; run as a program, this file renews the golden files."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from analytics_kit.model import Failure, JobInfo, JobStatus, Progress
from analytics_kit.notebook import job_html

GOLDEN = Path(__file__).parent / "golden"
CREATED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
NOW = CREATED + timedelta(seconds=83)
SUMMARY = {
    "participants": 2,
    "trials": 96,
    "rows_kept": 33_705,
    "issues": 3,
    "events": {"mouse_movement": 33_000, "mouse_clicks": 704, "keyboard": 1},
}
PREVIEW = {
    "columns": ["participant", "trial", "duration_s", "path_length_px"],
    "trials": [["p1", 1, 12.25, 1234.5678], ["p2", 2, None, 0.0]],
    "issues": [["p1/a.csv", 1200, "row", "bad number"], ["p2/b.csv", None, "file", "empty file"]],
}
FAILURE = Failure(
    "BadArchiveError",
    "The ZIP is torn.",
    "Copy it again.",
    log="line 1\nline 2\nline 3\nline 4\nline 5\nline 6\n",
    traceback="Traceback (most recent call last):\n  File <study>",
)


def info(status, **fields):
    base = {
        "job_id": "0f0f", "source": "/data/study.zip", "result_key": "k", "created_at": CREATED,
        "size_bytes": 2_500_000, "backend": "embedded",
    }  # fmt: skip
    if status is not JobStatus.QUEUED:
        base["started_at"] = CREATED + timedelta(seconds=3)
    if status.final:
        base["ended_at"] = CREATED + timedelta(seconds=70)
    return JobInfo(status=status, **base | fields)


def completed(**result):
    return info(JobStatus.COMPLETED, progress=Progress("completed", fraction=1.0), result={"store": "s"} | result)


PROCESSING = Progress("processing", 50, 100, fraction=0.509, rate_per_s=4e6, eta_s=61.0, rows=1500, files=1)
CASES = {
    "queued": info(JobStatus.QUEUED, queue_position=2),
    "queued-notice": info(
        JobStatus.QUEUED, progress=Progress("compiling"), notice="No worker listens; run analytics-kit worker -n 2."
    ),
    "running": info(JobStatus.RUNNING, progress=PROCESSING),
    "running-here": info(JobStatus.RUNNING, progress=PROCESSING, backend="local"),
    "completed": completed(summary=SUMMARY),
    "completed-preview": completed(summary=SUMMARY, preview=PREVIEW),
    "completed-bare": completed(),
    "failed": info(JobStatus.FAILED, error=FAILURE),
    "cancelled": info(JobStatus.CANCELLED, progress=PROCESSING),
}
REASON = "No broker can be started here: there is no server."


def golden_html(name):
    """Return the content of a golden file: the static record and the live card with its log, a tag per line."""
    job = CASES[name]
    parts = [
        job_html.render_static(job, REASON),
        job_html.render_live(job, NOW, REASON, log="2026-01-02 queued", note="Pressed."),
    ]
    return "\n\n".join(part.replace("><", ">\n<") for part in parts) + "\n"


if __name__ == "__main__":
    for old in GOLDEN.glob("*.html"):
        old.unlink()
    for name in CASES:
        (GOLDEN / f"{name}.html").write_text(golden_html(name))
