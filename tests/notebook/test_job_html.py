"""A job as HTML: one state word, a labelled bar, cause and hint, all escaped, and a record with nothing random."""

import re
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser

import pytest

from analytics_kit import job_text as words
from analytics_kit.model import Failure, JobStatus, Progress
from analytics_kit.notebook import job_html as card
from tests.notebook.job_cases import (
    CASES,
    CREATED,
    FAILURE,
    GOLDEN,
    NOW,
    PREVIEW,
    PROCESSING,
    SUMMARY,
    WHY,
    completed,
    drawn,
    info,
)

STATES = [str(status) for status in JobStatus]
FINAL = [status for status in JobStatus if status.final]
HOSTILE = "<script>x</script>\"'&"


def live(job, **more):
    return card.live(job, NOW, **more)


RENDERS = pytest.mark.parametrize("render", [card.record, live])


def seen(html):
    """What is to be read of it, in one line."""
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


class Tags(HTMLParser):
    """The elements of a page, each with its attributes; they have to be closed in order."""

    def __init__(self, html):
        super().__init__()
        self.found, self.text, self._open = [], "", []
        self.feed(html)
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("name", CASES)
def test_what_is_drawn_is_what_was_looked_at(name):
    """`python tests/notebook/cases.py` renews the files; look at what changed."""
    assert drawn(name) == (GOLDEN / f"{name}.html").read_text()


def test_no_golden_file_is_left_over():
    assert {path.stem for path in GOLDEN.iterdir()} == set(CASES)


@RENDERS
@pytest.mark.parametrize("name", CASES)
def test_exactly_one_state_word(name, render):
    assert re.findall("|".join(STATES), seen(render(CASES[name]))) == [str(CASES[name].status)]


@RENDERS
@pytest.mark.parametrize("status", [JobStatus.QUEUED, JobStatus.RUNNING])
def test_progress_is_a_labelled_element(status, render):
    told = render(info(status, progress=Progress("processing", 1, 4, fraction=0.257)))
    assert re.search(r'<label [^>]*>.*processing.*<progress value="25" max="100"[^>]*>25%</progress>.*</label>', told)


@RENDERS
@pytest.mark.parametrize("status", [JobStatus.QUEUED, JobStatus.RUNNING])
def test_a_bar_whose_phase_only_repeats_the_state_has_a_label_yet(status, render):
    told = render(info(status, progress=Progress(str(status))))
    assert re.search(r"<label [^>]*>\S.*Progress.*<progress", told)


@RENDERS
def test_only_all_is_100_percent(render):
    assert "100%" not in render(info(JobStatus.RUNNING, progress=Progress("merging", fraction=0.9999)))
    assert "100%" in render(info(JobStatus.RUNNING, progress=Progress("merging", fraction=1.0)))


@RENDERS
@pytest.mark.parametrize("status", FINAL)
def test_what_has_ended_has_no_bar(status, render):
    assert "<progress" not in render(info(status, progress=PROCESSING))


def test_only_who_looks_is_told_of_rate_and_time():
    told = seen(live(CASES["running"]))
    assert "4.0 MB/s · about 1 min 1 s left · 1 min 20 s so far" in told
    assert "1 min 23 s waiting" in seen(live(CASES["queued"]))
    assert "in 1 min 7 s" in seen(live(CASES["completed"]))
    for job in CASES.values():
        assert not re.search(r"\d (s|min)\b|MB/s", seen(card.record(job)))


def test_each_fact_is_said_once():
    facts = "96 trials · 2 participants · 33,000 mouse movement rows · 704 mouse click rows · 1 keyboard row"
    assert seen(card.record(CASES["completed"])).count(facts) == 1
    assert seen(card.record(CASES["completed"])).count("704 mouse click rows") == 1


def test_a_completed_job_with_a_preview_shows_trials_and_issues():
    told = card.record(CASES["completed-preview"])
    assert "The first 2 of 96 trials" in told
    heads = re.findall(r"<th [^>]*>(.*?)</th>", told)
    assert [head.replace("<wbr>", "") for head in heads] == PREVIEW["columns"]
    assert re.findall(r"<td>([^<]*)</td>", told) == ["p1", "1", "12.2", "1,234.6", "p2", "2", "NA", "0.0"]
    assert re.findall(r"<li>(.*?)</li>", told) == [
        "p1/a.csv, line 1,200: bad number",
        "p2/b.csv: empty file",
        "… and 1 more: see <code>result.issues</code>",
    ]


def test_a_completed_job_without_a_preview_says_how_many():
    told = card.record(CASES["completed"])
    assert "<table" not in told
    assert "3 issues see result.issues" in seen(told)
    assert "no issues" in seen(card.record(completed(summary=SUMMARY | {"issues": 0})))


def test_a_study_without_trials_has_no_table():
    empty = {"columns": PREVIEW["columns"], "trials": [], "issues": []}
    told = card.record(completed(summary=SUMMARY | {"trials": 0, "events": {}, "issues": 0}, preview=empty))
    assert "<table" not in told
    assert "0 trials · 2 participants" in told


def test_how_to_load_it_is_said_with_the_id_only_to_who_looks():
    assert "<code>result = job.result()</code>" in card.record(CASES["completed"])
    assert "ak.get_job(&quot;0f0f&quot;).result()" in live(CASES["completed"])


@RENDERS
def test_a_failed_job_says_why_and_what_to_do(render):
    told = seen(render(CASES["failed"]))
    assert "BadArchiveError : The ZIP is torn. Copy it again." in told


def test_only_who_looks_is_told_of_log_and_traceback():
    told = live(CASES["failed"])
    assert re.search(r"<pre class=\"ak-last\"[^>]*>line 2\nline 3\nline 4\nline 5\nline 6</pre>", told)
    assert re.search(
        r"<details><summary>Traceback</summary><pre>Traceback .*&lt;study&gt;</pre></details>", told, re.S
    )
    assert not {"line 6", "Traceback"} & set(re.split("[<>]", card.record(CASES["failed"])))
    bare = live(info(JobStatus.FAILED, error=Failure("KeyError", "odd")))
    assert "<pre" not in bare
    assert "<details" not in bare


@RENDERS
def test_a_command_in_a_notice_can_be_copied(render):
    told = render(CASES["queued-notice"])
    assert "⚠ No worker listens; run <code>analytics-kit worker</code> -n 2." in told


@RENDERS
def test_work_in_this_process_says_so_and_why(render):
    told = seen(render(CASES["running-here"], why=WHY))
    assert "in this process" in told
    assert WHY in told
    told = seen(render(CASES["running"], why=WHY))
    assert "in this process" not in told
    assert WHY not in told


@pytest.mark.parametrize("status", JobStatus)
def test_there_is_a_button_for_what_can_be_done(status):
    pressed = [tag["data-do"] for name, tag in Tags(live(info(status))).found if name == "button"]
    first = {JobStatus.FAILED: ["retry"], JobStatus.CANCELLED: ["retry"], JobStatus.COMPLETED: []}
    assert pressed == [*first.get(status, ["cancel"]), "log"]
    assert "<button" not in card.record(info(status))


def test_the_button_of_the_log_says_whether_it_is_open():
    assert 'aria-expanded="false"' in live(CASES["running"])
    assert "<pre" not in live(CASES["running"])
    opened = live(CASES["running"], log="")
    assert 'aria-expanded="true"' in opened
    assert re.search(r'<pre class="ak-log" [^>]*aria-label="Log of study.zip"></pre>', opened)


HOSTILE_CASES = [
    info(JobStatus.RUNNING, progress=Progress(HOSTILE, fraction=0.5), notice=HOSTILE, backend="local"),
    info(JobStatus.FAILED, error=Failure(HOSTILE, HOSTILE, HOSTILE, log=HOSTILE, traceback=HOSTILE)),
    completed(
        summary=SUMMARY | {"events": {HOSTILE: 3}},
        preview={"columns": [HOSTILE], "trials": [[HOSTILE]], "issues": [[HOSTILE, 7, HOSTILE, HOSTILE]]},
    ),
]


@pytest.mark.parametrize("job", HOSTILE_CASES, ids=lambda job: str(job.status))
def test_what_others_wrote_is_escaped(job):
    """The page has the elements and attributes of one that nobody attacks, and shows the text as it was written."""
    hostile = replace(job, job_id=HOSTILE, source=f"/d/{HOSTILE}", tags=(HOSTILE,), owner=HOSTILE, result_key=HOSTILE)
    for html in (
        card.record(hostile, HOSTILE),
        card.live(hostile, NOW, HOSTILE, log=HOSTILE, note=HOSTILE),
    ):
        tags = Tags(html)
        assert "script" not in {name for name, _ in tags.found}
        assert not {key for _, attributes in tags.found for key in attributes} - {
            "class", "style", "title", "data-status", "data-do", "data-job", "data-s", "type", "value", "max",
            "scope", "tabindex", "aria-label", "aria-expanded",
        }  # fmt: skip
        assert html.count("<script") == 0
        assert HOSTILE.partition("/")[2] in tags.text


def test_a_record_holds_nothing_random():
    """Two runs of the same study give the same record, whatever id, time and machine they had."""
    for job in CASES.values():
        later = {name: moment + timedelta(days=3) for name in ("created_at", "started_at", "ended_at")
                 if (moment := getattr(job, name))}  # fmt: skip
        other = replace(job, source="/other/study.zip", job_id="other", result_key="other", owner="other", **later)
        if job.status is JobStatus.FAILED:
            other = replace(other, error=replace(FAILURE, log="other", traceback="other"))
        if job.status is JobStatus.RUNNING:
            other = replace(other, progress=replace(PROCESSING, rate_per_s=1.0, eta_s=1.0))
        assert card.record(other, WHY) == card.record(job, WHY)
    assert CREATED.isoformat()[:10] not in card.record(job)


def luminance(colour):
    """Of WCAG 2.2, of a colour as #rrggbb."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(part * share for part, share in zip(linear, (0.2126, 0.7152, 0.0722), strict=True))


def test_chips_can_be_read_on_any_ground():
    drawn = "".join(live(job) for job in CASES.values())
    grounds = set(re.findall(r"color:#fff;[^\"]*background:(#[0-9a-f]{6})", drawn))
    assert grounds >= set(card.COLOURS.values())
    assert len(grounds) == len(JobStatus) + 1
    for ground in grounds:
        assert 1.05 / (luminance(ground) + 0.05) >= 4.5, ground


def test_each_state_has_a_sign_besides_its_colour():
    assert len({words.SIGNS[status] for status in JobStatus}) == len(JobStatus)
    for status in JobStatus:
        assert seen(card.chip(status)) == f"{words.SIGNS[status]} {status}"
