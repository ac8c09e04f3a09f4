"""The list of all jobs: counts, filter, pages, the one that is open, and nothing random in its record."""

import re
from datetime import timedelta

import pytest

from analytics_kit.model import JobStatus, Progress
from analytics_kit.notebook import board_html as listing
from analytics_kit.notebook.board_html import PAGE_ROWS, Choice, Place
from tests.notebook.job_cases import CREATED, FAILURE, NOW, info

PLACE = Place.of({"backend": "embedded", "workers": 2, "workers_busy": 1}, "")
HOSTILE = "<script>x</script>"


def job(number, status=JobStatus.COMPLETED, **known):
    at = CREATED + timedelta(seconds=number)
    return info(status, **({"job_id": f"id{number}", "created_at": at, "source": f"/d/study-{number}.zip"} | known))


def rows(html):
    return re.findall(r'<tr data-key="(id\d+)"', html)


def test_the_newest_comes_first():
    assert rows(listing.live([job(1), job(3), job(2)], Choice(), PLACE, NOW)) == ["id3", "id2", "id1"]


@pytest.mark.parametrize(
    ("choice", "found"),
    [
        (Choice(status="failed"), ["id2"]),
        (Choice(find="STUDY-3"), ["id3"]),
        (Choice(find="pilot"), ["id1"]),
        (Choice(find="torn"), ["id2"]),
        (Choice(find="id1"), ["id1"]),
        (Choice(find="study", status="completed"), ["id3", "id1"]),
        (Choice(find="nothing like it"), []),
    ],
)
def test_the_filter_looks_at_state_name_tags_id_and_error(choice, found):
    infos = [job(1, tags=("Pilot",)), job(2, JobStatus.FAILED, error=FAILURE), job(3)]
    html = listing.live(infos, choice, PLACE, NOW)
    assert rows(html) == found
    assert ("No job is like that." in html) is (not found)


def test_a_thousand_jobs_are_pages():
    infos = [job(number) for number in range(1000)]
    first, last = (listing.live(infos, Choice(page=page), PLACE, NOW) for page in (0, 10_000))
    assert rows(first) == [f"id{number}" for number in range(999, 999 - PAGE_ROWS, -1)]
    assert rows(last)[-1] == "id0"
    assert "1 to 20 of 1,000" in first
    assert re.search(r'data-do="newer" aria-disabled="true"', first)
    assert re.search(r'data-do="older" aria-disabled="true"', last)
    assert "1,000 completed" in first
    assert len(first) < 30_000


def test_the_open_job_is_shown_whole_below_its_row():
    infos = [job(1), job(2, JobStatus.FAILED, error=FAILURE)]
    html = listing.live(infos, Choice(open="id2", log="all that happened"), PLACE, NOW)
    assert html.index('data-key="id2"') < html.index('data-key="open id2"') < html.index('data-key="id1"')
    assert "all that happened" in html
    assert "Copy it again." in html
    assert 'data-do="open" data-job="id2" aria-label="Close study-2.zip" aria-expanded="true"' in html


def test_a_running_job_has_a_labelled_bar_and_can_be_cancelled():
    html = listing.live([job(1, JobStatus.RUNNING, progress=Progress(fraction=0.42))], Choice(), PLACE, NOW)
    assert re.search(r'<label class="ak-progress"><span[^>]*>study-1.zip</span> <progress value="42" max="100"', html)
    assert re.findall(r'data-do="(\w+)"', html) == ["cancel", "open"]


def test_where_the_work_is_done_is_said():
    assert "embedded queue, 2 workers, 1 busy" in listing.live([], Choice(), PLACE, NOW)
    html = listing.live([], Choice(), Place(trouble="Reconnecting …: away"), NOW)
    assert "Reconnecting …: away" in html
    assert "No jobs yet." in html


def test_user_text_is_escaped():
    infos = [
        job(1, JobStatus.FAILED, source=f"/d/{HOSTILE}", tags=(HOSTILE,), error=FAILURE),
        job(2, JobStatus.QUEUED, notice=HOSTILE, source=f"/d/{HOSTILE}"),
    ]
    choice = Choice(find="<script", open="id1", log=HOSTILE)
    place = Place("local", HOSTILE, 1, 0, HOSTILE)
    told = listing.live(infos, choice, place, NOW, HOSTILE) + listing.record(infos, choice, place)
    assert "<script" not in told


def test_the_record_holds_nothing_random_and_no_buttons():
    def record(shift):
        infos = [
            job(
                n, source=f"/folder{shift}/{n}.zip", job_id=f"id{n + shift}",
                created_at=CREATED + timedelta(days=shift, seconds=n),
            )
            for n in (1, 2)
        ]  # fmt: skip
        return listing.record(infos, Choice(), PLACE), listing.text(infos, Choice())

    assert record(0) == record(7)
    assert "<button" not in record(0)[0]
    assert record(0)[1].splitlines()[0] == "Jobs: 2 completed"


def test_a_long_record_says_how_much_more_there_is():
    infos = [job(number) for number in range(PAGE_ROWS + 5)]
    assert "and 5 more" in listing.record(infos, Choice(), PLACE)
    assert listing.text(infos, Choice()).splitlines()[-1] == "and 5 more"
