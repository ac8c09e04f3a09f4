"""A job as HTML: one status word, a labelled bar, cause and hint, escaped texts, and a reproducible static record."""

import re
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser

import pytest

from analytics_kit import job_text
from analytics_kit.model import Failure, JobStatus, Progress
from analytics_kit.notebook import job_html
from tests.notebook.job_cases import (
    CASES,
    CREATED,
    FAILURE,
    GOLDEN,
    NOW,
    PREVIEW,
    PROCESSING,
    REASON,
    SUMMARY,
    completed,
    golden_html,
    info,
)

STATUS_WORDS = [str(status) for status in JobStatus]
FINAL = [status for status in JobStatus if status.final]
HOSTILE = "<script>x</script>\"'&"


def live(job, **more):
    return job_html.render_live(job, NOW, **more)


RENDERS = pytest.mark.parametrize("render", [job_html.render_static, live])


def visible_text(html):
    """Return the text of the HTML in one line."""
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


class Tags(HTMLParser):
    """The elements of a page with their attributes; asserts that they are closed in order."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.text, self._open = [], "", []
        self.feed(html)
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("name", CASES)
def test_html_is_that_of_the_golden_file(name):
    """`python -m tests.notebook.job_cases` renews the files; look at what changed."""
    assert golden_html(name) == (GOLDEN / f"{name}.html").read_text()


def test_every_golden_file_has_a_case():
    assert {path.stem for path in GOLDEN.iterdir()} == set(CASES)


@RENDERS
@pytest.mark.parametrize("name", CASES)
def test_job_has_exactly_one_status_word(name, render):
    assert re.findall("|".join(STATUS_WORDS), visible_text(render(CASES[name]))) == [str(CASES[name].status)]


@RENDERS
@pytest.mark.parametrize("status", [JobStatus.QUEUED, JobStatus.RUNNING])
def test_progress_is_a_labelled_element(status, render):
    html = render(info(status, progress=Progress("processing", 1, 4, fraction=0.257)))
    assert re.search(r'<label [^>]*>.*processing.*<progress value="25" max="100"[^>]*>25%</progress>.*</label>', html)


@RENDERS
@pytest.mark.parametrize("status", [JobStatus.QUEUED, JobStatus.RUNNING])
def test_bar_has_a_label_where_the_phase_repeats_the_status(status, render):
    html = render(info(status, progress=Progress(str(status))))
    assert re.search(r"<label [^>]*>\S.*Progress.*<progress", html)


@RENDERS
def test_percent_is_100_only_for_finished_work(render):
    assert "100%" not in render(info(JobStatus.RUNNING, progress=Progress("merging", fraction=0.9999)))
    assert "100%" in render(info(JobStatus.RUNNING, progress=Progress("merging", fraction=1.0)))


@RENDERS
@pytest.mark.parametrize("status", FINAL)
def test_final_job_has_no_bar(status, render):
    assert "<progress" not in render(info(status, progress=PROCESSING))


def test_rate_and_times_are_only_in_the_live_card():
    html = visible_text(live(CASES["running"]))
    assert "4.0 MB/s · about 1 min 1 s left · 1 min 20 s so far" in html
    assert "1 min 23 s waiting" in visible_text(live(CASES["queued"]))
    assert "in 1 min 7 s" in visible_text(live(CASES["completed"]))
    for job in CASES.values():
        assert not re.search(r"\d (s|min)\b|MB/s", visible_text(job_html.render_static(job)))


def test_counts_are_listed_once():
    facts = "96 trials · 2 participants · 33,000 mouse movement rows · 704 mouse click rows · 1 keyboard row"
    assert visible_text(job_html.render_static(CASES["completed"])).count(facts) == 1
    assert visible_text(job_html.render_static(CASES["completed"])).count("704 mouse click rows") == 1


def test_completed_job_with_a_preview_shows_trials_and_issues():
    html = job_html.render_static(CASES["completed-preview"])
    assert "The first 2 of 96 trials" in html
    heads = re.findall(r"<th [^>]*>(.*?)</th>", html)
    assert [head.replace("<wbr>", "") for head in heads] == PREVIEW["columns"]
    assert re.findall(r"<td>([^<]*)</td>", html) == ["p1", "1", "12.2", "1,234.6", "p2", "2", "NA", "0.0"]
    assert re.findall(r"<li>(.*?)</li>", html) == [
        "p1/a.csv, line 1,200: bad number",
        "p2/b.csv: empty file",
        "… and 1 more: see <code>result.issues</code>",
    ]


def test_completed_job_without_a_preview_shows_counts():
    html = job_html.render_static(CASES["completed"])
    assert "<table" not in html
    assert "3 issues see result.issues" in visible_text(html)
    assert "no issues" in visible_text(job_html.render_static(completed(summary=SUMMARY | {"issues": 0})))


def test_completed_job_without_trials_has_no_table():
    empty = {"columns": PREVIEW["columns"], "trials": [], "issues": []}
    html = job_html.render_static(
        completed(summary=SUMMARY | {"trials": 0, "events": {}, "issues": 0}, preview=empty)
    )
    assert "<table" not in html
    assert "0 trials · 2 participants" in html


def test_code_to_load_the_result_has_the_id_only_in_the_live_card():
    assert "<code>result = job.result()</code>" in job_html.render_static(CASES["completed"])
    assert "ak.get_job(&quot;0f0f&quot;).result()" in live(CASES["completed"])


@RENDERS
def test_failed_job_shows_error_and_hint(render):
    html = visible_text(render(CASES["failed"]))
    assert "BadArchiveError : The ZIP is torn. Copy it again." in html


def test_log_and_traceback_are_only_in_the_live_card():
    html = live(CASES["failed"])
    assert re.search(r"<pre class=\"ak-log-tail\"[^>]*>line 2\nline 3\nline 4\nline 5\nline 6</pre>", html)
    assert re.search(
        r"<details><summary>Traceback</summary><pre>Traceback .*&lt;study&gt;</pre></details>", html, re.S
    )
    assert not {"line 6", "Traceback"} & set(re.split("[<>]", job_html.render_static(CASES["failed"])))
    bare = live(info(JobStatus.FAILED, error=Failure("KeyError", "odd")))
    assert "<pre" not in bare
    assert "<details" not in bare


@RENDERS
def test_command_in_a_notice_is_marked_as_code(render):
    html = render(CASES["queued-notice"])
    assert "⚠ No worker listens; run <code>analytics-kit worker</code> -n 2." in html


@RENDERS
def test_local_job_has_a_badge_and_a_reason(render):
    html = visible_text(render(CASES["running-here"], reason=REASON))
    assert "in this process" in html
    assert REASON in html
    html = visible_text(render(CASES["running"], reason=REASON))
    assert "in this process" not in html
    assert REASON not in html


@pytest.mark.parametrize("status", JobStatus)
def test_buttons_are_those_that_the_status_allows(status):
    pressed = [tag["data-action"] for name, tag in Tags(live(info(status))).elements if name == "button"]
    first = {JobStatus.FAILED: ["retry"], JobStatus.CANCELLED: ["retry"], JobStatus.COMPLETED: []}
    assert pressed == [*first.get(status, ["cancel"]), "log"]
    assert "<button" not in job_html.render_static(info(status))


def test_log_button_has_its_state():
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
def test_hostile_texts_are_escaped(job):
    """The page has only the usual elements and attributes, and shows the text as it was written."""
    hostile = replace(job, job_id=HOSTILE, source=f"/d/{HOSTILE}", tags=(HOSTILE,), owner=HOSTILE, result_key=HOSTILE)
    for html in (
        job_html.render_static(hostile, HOSTILE),
        job_html.render_live(hostile, NOW, HOSTILE, log=HOSTILE, note=HOSTILE),
    ):
        tags = Tags(html)
        assert "script" not in {name for name, _ in tags.elements}
        assert not {key for _, attributes in tags.elements for key in attributes} - {
            "class", "style", "title", "data-status", "data-action", "data-job", "data-seconds", "type", "value",
            "max", "scope", "tabindex", "aria-label", "aria-expanded",
        }  # fmt: skip
        assert html.count("<script") == 0
        assert HOSTILE.partition("/")[2] in tags.text


def test_static_record_is_the_same_for_other_ids_times_and_machines():
    """Two runs of the same study give the same record, whatever their id, time and machine."""
    for job in CASES.values():
        later = {name: moment + timedelta(days=3) for name in ("created_at", "started_at", "ended_at")
                 if (moment := getattr(job, name))}  # fmt: skip
        other = replace(job, source="/other/study.zip", job_id="other", result_key="other", owner="other", **later)
        if job.status is JobStatus.FAILED:
            other = replace(other, error=replace(FAILURE, log="other", traceback="other"))
        if job.status is JobStatus.RUNNING:
            other = replace(other, progress=replace(PROCESSING, rate_per_s=1.0, eta_s=1.0))
        assert job_html.render_static(other, REASON) == job_html.render_static(job, REASON)
    assert CREATED.isoformat()[:10] not in job_html.render_static(job)


def luminance(colour):
    """Return the luminance, by WCAG 2.2, of a colour as #rrggbb."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(part * weight for part, weight in zip(linear, (0.2126, 0.7152, 0.0722), strict=True))


def test_chips_have_enough_contrast_on_their_own_background():
    html = "".join(live(job) for job in CASES.values())
    backgrounds = set(re.findall(r"color:#fff;[^\"]*background:(#[0-9a-f]{6})", html))
    assert backgrounds >= set(job_html.STATUS_COLOURS.values())
    assert len(backgrounds) == len(JobStatus) + 1
    for background in backgrounds:
        assert 1.05 / (luminance(background) + 0.05) >= 4.5, background


def test_each_status_has_a_sign_of_its_own():
    assert len({job_text.SIGNS[status] for status in JobStatus}) == len(JobStatus)
    for status in JobStatus:
        assert visible_text(job_html.chip(status)) == f"{job_text.SIGNS[status]} {status}"
