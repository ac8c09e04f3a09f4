"""A job in a real kernel, as a front end hears of it: what is shown where, how often, and what is left behind."""

import os
import re
import subprocess
import sys

import nbformat
import pytest
from nbclient import NotebookClient

import analytics_kit as ak
from tests.kernels import Kernel, drawn, model_of, records, shows

NOTHING = {"widgets": 0, "boxes": 0, "listeners": 0, "threads": []}


@pytest.fixture(scope="module")
def process(tmp_path_factory):
    with Kernel(tmp_path_factory.mktemp("kernel")) as kernel:
        kernel.do("from tests.notebook.fake_jobs import *; import threading; import analytics_kit as ak")
        yield kernel


@pytest.fixture
def kernel(process):
    """The kernel with nothing in it; what a test leaves open fails it."""
    process.heard.clear()
    yield process
    process.run("pass", "the end", deletedCells=list("abcd"))
    process.do("fake.away = None; fake.infos.clear()")
    process.until(lambda _: process.value("left()") == NOTHING, "nothing is left")


def ended(kernel, told):
    kernel.until(lambda heard: told in records(heard)[-1], f"the record says {told}")


class TestLive:
    def test_a_box_then_a_record(self, kernel):
        heard = kernel.run("job = made(**RUNNING); job", "a")
        (view, _, none), (record, is_update, display_id) = shows(heard)
        assert (view, none, record, is_update) == ("view", None, "record", False)
        assert len(display_id) == 32
        assert records(heard) == ["study.zip: running, processing 40%"]
        html = next(m for m in heard if "text/html" in m["content"].get("data", {}))["content"]["data"]["text/html"]
        assert html.startswith('<div class="ak-record">')

    def test_a_change_of_state_reaches_both(self, kernel):
        first = kernel.run("job = made(**RUNNING); job", "a")
        kernel.do("end(job)")
        ended(kernel, "completed, 3 trials")
        kernel.until(lambda heard: "✔ completed" in drawn(heard, model_of(first))[-1], "the box says it")
        assert shows(kernel.heard)[-1] == ("record", True, shows(first)[1][2])
        assert len(shows(kernel.heard)) == 3

    def test_a_job_that_has_ended_is_shown_as_it_is(self, kernel):
        heard = kernel.run("made(**FAILED)", "a")
        assert records(heard) == ["study.zip: failed, BadArchiveError: torn"]

    def test_a_job_is_shown_in_two_cells_by_one_box_and_one_record(self, kernel):
        first, second = kernel.run("job = made(**RUNNING); job", "a"), kernel.run("job", "b")
        assert model_of(first) == model_of(second)
        assert shows(first)[1] == shows(second)[1]
        kernel.run("pass", "a")
        assert kernel.value("left()")["boxes"] == 1
        kernel.do("end(job)")
        ended(kernel, "completed")
        kernel.run("pass", "b")
        assert kernel.value("left()")["boxes"] == 0

    def test_a_panel_of_its_own_is_closed_by_itself(self, kernel):
        first = kernel.run("job = made(**RUNNING); mine = job.panel(); display(job, mine)", "a")
        assert [kind for kind, _, _ in shows(first)] == ["view", "record"] * 2
        assert kernel.value("left()")["boxes"] == 2
        kernel.do("mine.close(); mine.close()")
        assert kernel.value("left()")["boxes"] == 1
        kernel.do("end(job)")
        ended(kernel, "completed")
        assert len([show for show in shows(kernel.heard) if show[1]]) == 1

    def test_a_panel_that_was_closed_is_shown_anew_and_freed_by_the_cell_that_shows_it(self, kernel):
        first = kernel.run("job = made(**RUNNING); mine = job.panel(); mine", "a")
        kernel.do("mine.close()")
        assert model_of(kernel.run("mine", "b")) != model_of(first)
        kernel.run("pass", "b")
        assert kernel.value("left()")["boxes"] == 0

    def test_running_a_cell_again_and_again_leaves_nothing(self, kernel):
        kernel.run("job = made(**RUNNING); job", "a")
        kernel.do("end(job)")
        ended(kernel, "completed")
        before, boxes = kernel.value("left()"), kernel.value("made_boxes()")
        for _ in range(100):
            kernel.run("job = made(**RUNNING); job", "a")
            kernel.run("job", "a")
        assert kernel.value("left()")["widgets"] == before["widgets"] == 2  # the box and its layout
        kernel.until(lambda _: kernel.value("left()")["listeners"] == 1, "only one listens")
        assert len(kernel.value("left()")["threads"]) <= 2
        assert kernel.value("made_boxes()") <= boxes + 1

    def test_fifty_panels_keep_within_sixty_messages_a_second(self, kernel):
        kernel.run("jobs = [made(**RUNNING) for _ in range(50)]; display(*jobs)", "a")
        kernel.do("stop = threading.Event(); race(jobs, stop)")
        kernel.heard.clear()
        kernel.until(lambda heard: len(sent(heard)) >= 250, "250 messages have come")
        kernel.do("stop.set()")
        times = sent(kernel.listen())
        assert max(sum(start <= time < start + 1 for time in times) for start in times) < 60
        assert len({m["content"]["comm_id"] for m in kernel.heard if m["msg_type"] == "comm_msg"}) == 50

    def test_the_end_of_a_job_is_told_before_the_progress_of_others(self, kernel):
        kernel.run("jobs = [made(**RUNNING) for _ in range(50)]; display(*jobs)", "a")
        kernel.do("stop = threading.Event(); race(jobs[1:], stop)")
        kernel.until(lambda heard: len(sent(heard)) >= 300, "all get on")
        kernel.heard.clear()
        kernel.do("end(jobs[0])")
        kernel.until(lambda heard: any("completed" in told for told in records(heard)), "the end is told")
        assert len(sent(kernel.heard)) < 100
        kernel.do("stop.set()")


def sent(heard):
    """When each message of a panel that is open was sent, by the kernel's clock, in seconds."""
    return [m["header"]["date"].timestamp() for m in heard if m["msg_type"] in ("comm_msg", "update_display_data")]


class TestWaiting:
    def test_the_cell_that_waits_shows_the_job(self, kernel):
        heard = kernel.run("job = made(**RUNNING); later(end, job); print(job.wait(30))", "a")
        assert [show[:2] for show in shows(heard)] == [("view", False), ("record", False), ("record", True)]
        assert "completed" in records(heard)[-1]

    def test_a_cell_that_shows_it_already_only_brings_it_up_to_date(self, kernel):
        heard = kernel.run("job = made(**RUNNING); display(job); later(end, job); print(job.wait(30))", "a")
        assert [show[:2] for show in shows(heard)] == [("view", False), ("record", False), ("record", True)]

    def test_the_end_is_told_before_the_cell_ends(self, kernel):
        """A report keeps only that; so it must not wait for its turn."""
        kernel.do("from analytics_kit.notebook.rate_limit import pace; pace.ask = lambda *_: None")
        heard = kernel.run("job = made(**RUNNING); display(job); later(end, job); print(job.wait(30))", "a")
        kernel.do("del pace.ask")
        assert "completed" in records(heard)[-1]

    def test_another_cell_that_waits_shows_it_too(self, kernel):
        kernel.run("job = made(**RUNNING); job", "a")
        heard = kernel.run("later(end, job); print(job.wait(30))", "b")
        assert [show[:2] for show in shows(heard)][:2] == [("view", False), ("record", False)]
        assert "completed" in records(heard)[-1]

    def test_an_end_that_is_seen_already_is_not_shown_again(self, kernel):
        kernel.run("job = made(**RUNNING); job", "a")
        kernel.do("end(job)")
        ended(kernel, "completed")
        assert shows(kernel.run("job.wait()", "b")) == []

    def test_an_end_that_nobody_has_seen_is_shown(self, kernel):
        heard = kernel.run("job = made(**COMPLETED); print(job.wait())", "a")
        assert [show[:2] for show in shows(heard)] == [("view", False), ("record", False)]

    def test_waiting_in_vain_leaves_what_is_known(self, kernel):
        heard = kernel.run("job = made(**RUNNING); print(job.wait(0.05))", "a")
        assert records(heard) == ["study.zip: running, processing 40%"]

    def test_a_result_that_is_none_shows_the_job_and_raises(self, kernel):
        heard = kernel.run("job = made(**FAILED); job.result()", "a", raises=True)
        assert records(heard) == ["study.zip: failed, BadArchiveError: torn"]
        assert [m["content"]["ename"] for m in heard if m["msg_type"] == "error"] == ["BadArchiveError"]

    @pytest.mark.parametrize("stdin", [True, False])
    @pytest.mark.parametrize(
        "code",
        [
            "list(ak.as_completed(jobs))",
            "\ntry: ak.gather(*jobs)\nexcept ak.AnalyticsKitError: pass",
            "[job.exception() for job in jobs]",
        ],
    )
    def test_what_waits_for_several_shows_nothing(self, kernel, code, stdin):
        heard = kernel.run(f"jobs = [made(**FAILED) for _ in range(3)]; {code};", "a", stdin)
        assert shows(heard) == []


class TestButtons:
    @pytest.fixture
    def box(self, kernel):
        return model_of(kernel.run("job = made(**RUNNING); job", "a"))

    def last(self, kernel, box, told):
        kernel.until(lambda heard: told in "".join(drawn(heard, box)[-1:]), f"the box says {told}")

    def test_cancel(self, kernel, box):
        kernel.press(box, do="cancel")
        self.last(kernel, box, "■ cancelled")
        ended(kernel, "cancelled")

    def test_cancel_that_comes_too_late_says_so(self, kernel, box):
        kernel.do("fake.cancel = lambda job_id: False")
        kernel.press(box, do="cancel")
        self.last(kernel, box, "too late to cancel")
        kernel.do("del fake.cancel")

    def test_retry_follows_the_new_job(self, kernel):
        box = model_of(kernel.run("job = made(**FAILED); job", "a"))
        kernel.press(box, do="retry")
        self.last(kernel, box, "This is the new job: job = client.get_job(")
        assert "◷ queued" in drawn(kernel.heard, box)[-1]
        ended(kernel, "queued")
        kernel.do("new = list(fake.infos.values())[-1]; fake.infos[new.job_id] = type(new)(**{"
                  "**{f: getattr(new, f) for f in new.__slots__}, **COMPLETED}); fake.notify()")  # fmt: skip
        self.last(kernel, box, "✔ completed")
        ended(kernel, "completed")

    def test_the_log_opens_and_closes(self, kernel, box):
        kernel.press(box, do="log")
        self.last(kernel, box, ">log of job-")
        kernel.press(box, do="log")
        self.last(kernel, box, 'aria-expanded="false"')
        assert "log of job-" not in drawn(kernel.heard, box)[-1]

    def test_what_can_not_be_done_says_why(self, kernel, box):
        kernel.do("fake.away = 'Redis <is> away'")
        kernel.press(box, do="cancel")
        self.last(kernel, box, "Cancel did not work: Redis &lt;is&gt; away")

    def test_an_unknown_word_is_ignored(self, kernel, box):
        for odd in ("__class__", None, 7):
            kernel.press(box, do=odd)
        kernel.press(box)
        assert kernel.value("job.running()")

    def test_a_page_that_is_opened_later_is_told_that_the_record_is_old(self, kernel, box):
        kernel.press(box, do="draw", page="one")
        kernel.press(box, do="draw", page="one")
        assert not kernel.value("job._panel._stale")
        kernel.press(box, do="draw", page="two")
        self.last(kernel, box, "page was opened after")
        heard = kernel.run("later(end, job); print(job.wait(30))", "b")
        assert shows(heard)[0][0] == "view"
        self.last(kernel, box, "✔ completed")
        assert "page was opened" not in drawn(kernel.heard, box)[-1]


class TestTrouble:
    def test_a_broker_that_is_away_is_a_notice_that_goes_again(self, kernel):
        kernel.run("job = made(**RUNNING); job", "a")
        kernel.do("fake.away = 'no answer'; fake.notify()")
        ended(kernel, "(Reconnecting …: no answer)")
        kernel.do("fake.away = None; end(job)")
        ended(kernel, "completed")
        assert "Reconnecting" not in records(kernel.heard)[-1]

    def test_a_job_that_was_deleted_stays_as_it_was_known(self, kernel):
        kernel.run("job = made(**RUNNING); job", "a")
        kernel.do("del fake.infos[job.id]; fake.notify()")
        ended(kernel, "running, processing 40% (Job ")

    def test_what_has_ended_does_not_begin_again(self, kernel):
        """Who asks before the end may tell of it after it."""
        box = model_of(kernel.run("job = made(**RUNNING); early = job.info(); job", "a"))
        kernel.do("end(job)")
        ended(kernel, "completed")
        kernel.do("job._panel._change(early)")
        kernel.press(box, do="draw", page="one")
        assert kernel.value("str(job._panel._info.status)") == "completed"


class TestWithoutFrontEnd:
    def test_showing_waits_and_gives_one_settled_record(self, kernel):
        heard = kernel.run("job = made(**RUNNING); later(end, job); job", "a", stdin=False)
        assert [show[:2] for show in shows(heard)] == [("record", False)]
        assert records(heard) == ["study.zip: completed, 3 trials, 9 events, 0 issues"]
        assert not [m for m in heard if m["msg_type"].startswith("comm")]

    def test_also_of_a_job_that_fails(self, kernel):
        heard = kernel.run("job = made(**RUNNING); later(end, job, **FAILED); job", "a", stdin=False)
        assert records(heard) == ["study.zip: failed, BadArchiveError: torn"]

    @pytest.mark.parametrize("code", ["print(job.wait(30))", "display(job); print(job.wait(30))"])
    def test_waiting_gives_exactly_one_settled_record(self, kernel, code):
        heard = kernel.run(f"job = made(**RUNNING); later(end, job); {code}", "a", stdin=False)
        assert [show[:2] for show in shows(heard)] == [("record", False)]
        assert "completed" in records(heard)[0]

    def test_an_interrupted_wait_leaves_what_is_known(self, kernel):
        heard = kernel.run("job = made(**RUNNING); job.result(0.05)", "a", stdin=False, raises=True)
        assert records(heard) == ["study.zip: running, processing 40%"]

    def test_two_runs_give_the_same(self, kernel):
        def outputs():
            heard = kernel.run("job = made(**RUNNING); later(end, job); job", "a", stdin=False)
            return [m["content"]["data"] for m in heard if m["msg_type"] == "display_data"]

        assert outputs() == outputs()


class TestStudy:
    """A real study, worked on in the kernel that shows it."""

    @pytest.fixture(scope="class")
    @staticmethod
    def study(tmp_path_factory):
        return ak.sample_study(tmp_path_factory.mktemp("study") / "study.zip", participants=2, trials=1)

    @pytest.fixture(scope="class", autouse=True)
    @staticmethod
    def _here(tmp_path_factory):
        """Work is done in the process that asks for it; all share what was compiled."""
        with pytest.MonkeyPatch.context() as patch:
            for name in [name for name in os.environ if name.startswith(("ANALYTICS_KIT_", "REDIS_"))]:
                patch.delenv(name)
            patch.setenv("ANALYTICS_KIT_BACKEND", "local")
            patch.setenv("ANALYTICS_KIT_HOME", str(tmp_path_factory.mktemp("home")))
            patch.setenv("IPYTHONDIR", str(tmp_path_factory.mktemp("ipython")))
            yield

    def outputs(self, study, code):
        """What nbclient leaves of a cell in a kernel of its own."""
        cells = ["import analytics_kit as ak", f"job = ak.submit({str(study)!r})\n{code}"]
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        NotebookClient(notebook, timeout=100, kernel_name="python3").execute()
        return [{"type": each.output_type, "data": each.data} for each in notebook.cells[1].outputs]

    def test_two_runs_of_a_notebook_leave_one_settled_record_and_it_is_equal(self, study):
        first = self.outputs(study, "job")
        again = self.outputs(study, "result = job.result()")
        assert first == again
        assert [each["type"] for each in first] == ["display_data"]
        assert first[0]["data"]["text/plain"].startswith("study.zip: completed, ")
        assert set(first[0]["data"]) == {"text/plain", "text/html"}

    @pytest.mark.parametrize("program", [["-c"], ["-m", "IPython", "--simple-prompt", "--quick", "-c"]])
    def test_without_a_kernel_there_is_only_text(self, study, program):
        show = "print(job, panel)" if program == ["-c"] else "display(job, panel)"
        code = (
            f"import analytics_kit as ak; job = ak.submit({str(study)!r}); job.result(); panel = job.panel(); "
            f"{show}; import sys; print('ipywidgets' in sys.modules)"
        )
        ran = subprocess.run([sys.executable, *program, code], capture_output=True, text=True, check=True)
        job, panel, loaded = ran.stdout.replace("> <", ">\n<").splitlines()
        assert re.fullmatch(r"<Job \w+: study\.zip: completed, .* issues.*>", job)
        assert panel.startswith("<JobPanel of study.zip: completed, ")
        assert loaded == "False"
