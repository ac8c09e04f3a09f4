"""All jobs as HTML: counts, filter, pages, the open job, and a reproducible static record."""

import re
from datetime import timedelta

import pytest

from analytics_kit.job_pages import JOBS_PER_PAGE
from analytics_kit.model import JobStatus, Progress
from analytics_kit.notebook.board_html import BoardView, QueueSummary, render_live, render_static, render_text
from tests.notebook.job_cases import CREATED, FAILURE, NOW, info

QUEUE = QueueSummary.of({"backend": "embedded", "workers": 2, "workers_busy": 1}, "")
HOSTILE = "<script>x</script>"


def job(number, status=JobStatus.COMPLETED, **fields):
    at = CREATED + timedelta(seconds=number)
    return info(status, **({"job_id": f"id{number}", "created_at": at, "source": f"/d/study-{number}.zip"} | fields))


def rows(html):
    return re.findall(r'<tr data-key="(id\d+)"', html)


def test_rows_are_newest_first():
    assert rows(render_live([job(1), job(3), job(2)], BoardView(), QUEUE, NOW)) == ["id3", "id2", "id1"]


@pytest.mark.parametrize(
    ("view", "job_ids"),
    [
        (BoardView(status="failed"), ["id2"]),
        (BoardView(find="STUDY-3"), ["id3"]),
        (BoardView(find="pilot"), ["id1"]),
        (BoardView(find="torn"), ["id2"]),
        (BoardView(find="id1"), ["id1"]),
        (BoardView(find="study", status="completed"), ["id3", "id1"]),
        (BoardView(find="nothing like it"), []),
    ],
)
def test_filter_searches_status_name_tags_id_and_error(view, job_ids):
    infos = [job(1, tags=("Pilot",)), job(2, JobStatus.FAILED, error=FAILURE), job(3)]
    html = render_live(infos, view, QUEUE, NOW)
    assert rows(html) == job_ids
    assert ("No job matches." in html) is (not job_ids)


def test_thousand_jobs_are_shown_in_pages():
    infos = [job(number) for number in range(1000)]
    first, last = (render_live(infos, BoardView(page=page), QUEUE, NOW) for page in (1, 10_000))
    assert rows(first) == [f"id{number}" for number in range(999, 999 - JOBS_PER_PAGE, -1)]
    assert rows(last)[-1] == "id0"
    assert "1 to 20 of 1,000" in first
    assert re.search(r'data-action="newer" aria-disabled="true"', first)
    assert re.search(r'data-action="older" aria-disabled="true"', last)
    assert "1,000 completed" in first
    assert len(first) < 30_000


def test_open_job_has_its_card_below_its_row():
    infos = [job(1), job(2, JobStatus.FAILED, error=FAILURE)]
    html = render_live(infos, BoardView(open_job_id="id2", log="all that happened"), QUEUE, NOW)
    assert html.index('data-key="id2"') < html.index('data-key="open id2"') < html.index('data-key="id1"')
    assert "all that happened" in html
    assert "Copy it again." in html
    assert 'data-action="open" data-job="id2" aria-label="Close study-2.zip" aria-expanded="true"' in html


def test_running_job_has_a_labelled_bar_and_a_cancel_button():
    html = render_live([job(1, JobStatus.RUNNING, progress=Progress(fraction=0.42))], BoardView(), QUEUE, NOW)
    assert re.search(r'<label class="ak-progress"><span[^>]*>study-1.zip</span> <progress value="42" max="100"', html)
    assert re.findall(r'data-action="(\w+)"', html) == ["cancel", "open"]


def test_head_shows_the_queue_or_why_it_is_unknown():
    assert "embedded queue, 2 workers, 1 busy" in render_live([], BoardView(), QUEUE, NOW)
    html = render_live([], BoardView(), QueueSummary(error="Reconnecting …: away"), NOW)
    assert "Reconnecting …: away" in html
    assert "No jobs yet." in html


def test_hostile_texts_are_escaped():
    infos = [
        job(1, JobStatus.FAILED, source=f"/d/{HOSTILE}", tags=(HOSTILE,), error=FAILURE),
        job(2, JobStatus.QUEUED, notice=HOSTILE, source=f"/d/{HOSTILE}"),
    ]
    view = BoardView(find="<script", open_job_id="id1", log=HOSTILE)
    queue = QueueSummary("local", HOSTILE, 1, 0, HOSTILE)
    html = render_live(infos, view, queue, NOW, HOSTILE) + render_static(infos, view)
    assert "<script" not in html


def test_static_record_has_no_ids_no_times_and_no_buttons():
    def records(shift):
        infos = [
            job(
                n, source=f"/folder{shift}/{n}.zip", job_id=f"id{n + shift}",
                created_at=CREATED + timedelta(days=shift, seconds=n),
            )
            for n in (1, 2)
        ]  # fmt: skip
        return render_static(infos, BoardView()), render_text(infos, BoardView())

    assert records(0) == records(7)
    assert "<button" not in records(0)[0]
    assert records(0)[1].splitlines()[0] == "Jobs: 2 completed"


def test_static_record_counts_the_jobs_it_leaves_out():
    infos = [job(number) for number in range(JOBS_PER_PAGE + 5)]
    assert "and 5 more" in render_static(infos, BoardView())
    assert render_text(infos, BoardView()).splitlines()[-1] == "and 5 more"
