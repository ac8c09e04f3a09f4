"""Characters that act are shown escaped wherever a name is shown, and stay in the data."""

import html
import io
import json
import logging
import re
import unicodedata
import zipfile
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

import analytics_kit as ak
from analytics_kit import errors, job_text
from analytics_kit.cli import main
from analytics_kit.model import Failure, JobInfo, JobStatus
from analytics_kit.notebook import job_html
from analytics_kit.plot.labels import safe_text
from analytics_kit.progress_bar import ProgressBar
from analytics_kit.visible_text import UNSHOWN, visible, visible_html, visible_json
from analytics_kit.web.app import APP_NAME, create_app
from analytics_kit.web.settings import ServerSettings
from tests.web.api_client import TOKENS, ApiClient

HOSTILE = "a\x1b[31mb\u202ec\x9b2Jd\x07"
ACTS = re.compile(f"[{UNSHOWN}]")
STUDY_NAME = f"{HOSTILE}.zip"


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study whose name, participant, task and members act on a terminal, with an issue."""
    path = tmp_path_factory.mktemp("hostile") / STUDY_NAME
    with zipfile.ZipFile(path, "w") as archive:
        rows = "".join(f"10:00:00,{t / 100},{t},{t}\n" for t in range(1, 100))
        log = f"Time,running_time,x,y\n{rows}nonsense\n"
        archive.writestr(f"1{HOSTILE}_participant_session/T{HOSTILE}_F_trial_1/Mouse Movement.csv", log)
    return path


def assert_shown(text, *, has_name=True):
    assert not ACTS.search(text.replace("\n", "")), repr(ACTS.search(text.replace("\n", "")))
    assert "\\x1b[31m" in html.unescape(text) or not has_name


@given(st.text(st.characters(codec=None), max_size=20))
def test_what_is_shown_is_in_one_line_and_without_characters_that_act(text):
    shown = visible(text)
    assert not ACTS.search(shown)
    assert len(shown.splitlines()) <= 1
    assert visible(shown) == shown
    shown.encode()


def test_all_control_characters_surrogates_and_ends_of_lines_are_shown():
    categories = {"Cc", "Cs", "Zl", "Zp"}
    characters = [chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) in categories]
    characters += [chr(code) for code in range(0x110000) if unicodedata.bidirectional(chr(code)) in BIDI]
    assert all(visible(character) != character for character in characters)


BIDI = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


@pytest.mark.parametrize("text", ["Aufgabe „Größe“ №1", "ทดสอบ", "می‌خواهم", "👩‍🔬", "C:\\new\\table", "a\u00a0b"])
def test_ordinary_text_stays_the_same(text):
    assert visible(text) == text


@given(st.text(st.characters(codec=None), max_size=20))
def test_json_keeps_its_value(text):
    written = visible_json(json.dumps([text], ensure_ascii=False, indent=1))
    assert not ACTS.search(written.replace("\n", ""))
    assert json.loads(written) == [text] or any("\ud800" <= each <= "\udfff" for each in text)


def test_html_shows_the_characters_and_no_elements():
    assert visible_html("<b>\x1b\n") == "&lt;b&gt;\\x1b\\n"


def test_an_error_shows_them_and_keeps_its_message():
    error = errors.BadArchiveError(f"{HOSTILE}\nHint: trust me", hint=HOSTILE)
    assert_shown(str(error))
    assert str(error).count("\n") == 1
    assert error.message.startswith(HOSTILE)


@pytest.fixture(scope="module")
def failed():
    now = datetime.now(UTC)
    failure = Failure("BadArchiveError", HOSTILE, hint=HOSTILE, log=HOSTILE, traceback=HOSTILE)
    return JobInfo("id", JobStatus.FAILED, f"/x/{STUDY_NAME}", "key", now, error=failure, notice=HOSTILE)


def test_texts_of_jobs_show_them(failed):
    for text in (job_text.text(failed), job_text.name(failed)):
        assert_shown(text)


def test_panels_show_them(failed):
    for text in (job_html.render_static(failed), job_html.render_live(failed, failed.created_at, log=HOSTILE)):
        assert_shown(text)


def test_labels_of_figures_show_them():
    assert_shown(safe_text(HOSTILE, 100))


def test_a_progress_bar_shows_them():
    console = Console(file=io.StringIO(), width=200)
    with ProgressBar(HOSTILE, console) as bar:
        bar.print_above(HOSTILE)
    assert_shown(console.file.getvalue())


class TestCommandLine:
    @pytest.fixture(autouse=True)
    def _local(self, monkeypatch, tmp_path):
        monkeypatch.setenv("ANALYTICS_KIT_BACKEND", "local")
        monkeypatch.setenv("ANALYTICS_KIT_HOME", str(tmp_path))

    def test_process_shows_them(self, study, capfd):
        main_and_exit("process", study)
        assert_shown("".join(capfd.readouterr()))

    def test_submit_shows_them(self, study, capfd):
        main_and_exit("submit", study)
        assert_shown("".join(capfd.readouterr()))

    def test_json_has_them_escaped_as_json_does(self, study, capfd):
        main_and_exit("submit", study, "--wait", "--json", "--tag", HOSTILE)
        printed = capfd.readouterr().out
        assert_shown(printed, has_name=False)
        assert json.loads(printed)["tags"] == [HOSTILE]
        assert json.loads(printed)["source"] == str(study)

    def test_an_error_shows_them(self, tmp_path, capfd):
        assert main_and_exit("process", tmp_path / STUDY_NAME) == 1
        assert_shown("".join(capfd.readouterr()))


def main_and_exit(*words):
    try:
        main([str(word) for word in words])
    except SystemExit as end:
        return end.code
    return 0


@pytest.fixture(scope="module")
def ann(study, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    (folder / "s.zip").write_bytes(study.read_bytes())
    app = create_app(
        ServerSettings.of("local", home=folder / "home", data=str(folder), token=f"ann: {TOKENS['ann']}")
    )
    yield ApiClient(app, "ann")
    app.extensions[APP_NAME].close()


class TestServer:
    def test_messages_of_errors_show_them(self, ann):
        response = ann.request("GET", "/s/zip-data", 422, query_string={HOSTILE: "1"})
        assert_shown(response.json["message"])

    def test_the_page_shows_them(self, ann):
        client = ann.service.client_for("ann")
        job = client.submit(ann.service.settings.data + "/s.zip", tags=[HOSTILE])
        assert job.wait(60)
        assert_shown(ann.get("/").get_data(as_text=True), has_name=False)

    def test_json_and_parquet_have_the_names_as_logged_and_csv_shows_them(self, ann):
        job = ann.ended_job("s")
        assert HOSTILE in job["result"]["trials"][0]["participant"]
        csv = ann.get(f"/jobs/{job['job_id']}/result?format=csv").get_data(as_text=True)
        assert_shown(csv)


def test_repr_of_a_job_and_the_result_show_them(study, tmp_path):
    with ak.connect("local", home=tmp_path) as client:
        job = client.submit(study)
        assert job.wait(60)
        assert_shown(repr(job))
        assert_shown(job.log(), has_name=False)
        assert_shown(job.result()._repr_html_())
        assert HOSTILE in job.result().trials["participant"][0]


def test_a_logged_error_shows_them(caplog):
    with caplog.at_level(logging.WARNING):
        logging.getLogger("analytics_kit").warning("%s", errors.StoreError(HOSTILE))
    assert_shown(caplog.text)
