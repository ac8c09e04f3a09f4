"""A job in a real kernel, as a front end sees it: what is displayed where, how often, and what is left over."""

import os
import re
import subprocess
import sys

import nbformat
import pytest
from nbclient import NotebookClient

import analytics_kit as ak
from tests.kernels import Kernel, displays, drawn_html, first_model_id, record_texts

NO_LEFTOVERS = {"widgets": 0, "boxes": 0, "listeners": 0, "threads": []}


@pytest.fixture(scope="module")
def process(tmp_path_factory):
    with Kernel(tmp_path_factory.mktemp("kernel")) as kernel:
        kernel.run_silently("from tests.notebook.fake_jobs import *; import threading; import analytics_kit as ak")
        yield kernel


@pytest.fixture
def kernel(process):
    """The kernel without leftovers; a test that leaves something open fails."""
    process.messages.clear()
    yield process
    process.run("pass", "last", deletedCells=list("abcd"))
    process.run_silently("fake.away = None; fake.infos.clear()")
    process.until(lambda _: process.evaluate("leftovers()") == NO_LEFTOVERS, "nothing is left over")


def await_record(kernel, text):
    kernel.until(lambda messages: text in record_texts(messages)[-1], f"the record contains {text}")


class TestLive:
    def test_cell_gets_a_box_and_then_a_record(self, kernel):
        messages = kernel.run("job = make_job(**RUNNING); job", "a")
        (view, _, none), (record, is_update, display_id) = displays(messages)
        assert (view, none, record, is_update) == ("view", None, "record", False)
        assert len(display_id) == 32
        assert record_texts(messages) == ["study.zip: running, processing 40%"]
        html = next(m for m in messages if "text/html" in m["content"].get("data", {}))["content"]["data"][
            "text/html"
        ]
        assert html.startswith('<div class="ak-record">')

    def test_change_of_status_reaches_box_and_record(self, kernel):
        first = kernel.run("job = make_job(**RUNNING); job", "a")
        kernel.run_silently("end_job(job)")
        await_record(kernel, "completed, 3 trials")
        kernel.until(
            lambda messages: "✔ completed" in drawn_html(messages, first_model_id(first))[-1], "the box shows it"
        )
        assert displays(kernel.messages)[-1] == ("record", True, displays(first)[1][2])
        assert len(displays(kernel.messages)) == 3

    def test_ended_job_is_displayed_with_its_outcome(self, kernel):
        messages = kernel.run("make_job(**FAILED)", "a")
        assert record_texts(messages) == ["study.zip: failed, BadArchiveError: torn"]

    def test_job_in_two_cells_has_one_box_and_one_record(self, kernel):
        first, second = kernel.run("job = make_job(**RUNNING); job", "a"), kernel.run("job", "b")
        assert first_model_id(first) == first_model_id(second)
        assert displays(first)[1] == displays(second)[1]
        kernel.run("pass", "a")
        assert kernel.evaluate("leftovers()")["boxes"] == 1
        kernel.run_silently("end_job(job)")
        await_record(kernel, "completed")
        kernel.run("pass", "b")
        assert kernel.evaluate("leftovers()")["boxes"] == 0

    def test_panel_of_its_own_is_closed_by_itself(self, kernel):
        first = kernel.run("job = make_job(**RUNNING); mine = job.panel(); display(job, mine)", "a")
        assert [kind for kind, _, _ in displays(first)] == ["view", "record"] * 2
        assert kernel.evaluate("leftovers()")["boxes"] == 2
        kernel.run_silently("mine.close(); mine.close()")
        assert kernel.evaluate("leftovers()")["boxes"] == 1
        kernel.run_silently("end_job(job)")
        await_record(kernel, "completed")
        assert len([each for each in displays(kernel.messages) if each[1]]) == 1

    def test_closed_panel_is_displayed_anew_and_freed_by_its_cell(self, kernel):
        first = kernel.run("job = make_job(**RUNNING); mine = job.panel(); mine", "a")
        kernel.run_silently("mine.close()")
        assert first_model_id(kernel.run("mine", "b")) != first_model_id(first)
        kernel.run("pass", "b")
        assert kernel.evaluate("leftovers()")["boxes"] == 0

    def test_running_a_cell_a_hundred_times_leaves_nothing_over(self, kernel):
        kernel.run("job = make_job(**RUNNING); job", "a")
        kernel.run_silently("end_job(job)")
        await_record(kernel, "completed")
        before, boxes = kernel.evaluate("leftovers()"), kernel.evaluate("count_boxes_in_memory()")
        for _ in range(100):
            kernel.run("job = make_job(**RUNNING); job", "a")
            kernel.run("job", "a")
        assert kernel.evaluate("leftovers()")["widgets"] == before["widgets"] == 2  # the box and its layout
        kernel.until(lambda _: kernel.evaluate("leftovers()")["listeners"] == 1, "only one listener is left")
        assert len(kernel.evaluate("leftovers()")["threads"]) <= 2
        assert kernel.evaluate("count_boxes_in_memory()") <= boxes + 1

    def test_fifty_panels_stay_under_sixty_messages_a_second(self, kernel):
        kernel.run("jobs = [make_job(**RUNNING) for _ in range(50)]; display(*jobs)", "a")
        kernel.run_silently("stop = threading.Event(); report_progress(jobs, stop)")
        kernel.messages.clear()
        kernel.until(lambda messages: len(send_times(messages)) >= 250, "250 messages have come")
        kernel.run_silently("stop.set()")
        times = send_times(kernel.receive())
        assert max(sum(start <= time < start + 1 for time in times) for start in times) < 60
        assert len({m["content"]["comm_id"] for m in kernel.messages if m["msg_type"] == "comm_msg"}) == 50

    def test_end_of_a_job_is_sent_before_the_progress_of_others(self, kernel):
        kernel.run("jobs = [make_job(**RUNNING) for _ in range(50)]; display(*jobs)", "a")
        kernel.run_silently("stop = threading.Event(); report_progress(jobs[1:], stop)")
        kernel.until(lambda messages: len(send_times(messages)) >= 300, "all report progress")
        kernel.messages.clear()
        kernel.run_silently("end_job(jobs[0])")
        kernel.until(lambda messages: any("completed" in text for text in record_texts(messages)), "the end is sent")
        assert len(send_times(kernel.messages)) < 100
        kernel.run_silently("stop.set()")


def send_times(messages):
    """Return when each update of an open panel was sent, by the kernel's clock, in seconds."""
    return [m["header"]["date"].timestamp() for m in messages if m["msg_type"] in ("comm_msg", "update_display_data")]


class TestWaiting:
    def test_waiting_cell_displays_the_job(self, kernel):
        messages = kernel.run("job = make_job(**RUNNING); later(end_job, job); print(job.wait(30))", "a")
        assert [each[:2] for each in displays(messages)] == [("view", False), ("record", False), ("record", True)]
        assert "completed" in record_texts(messages)[-1]

    def test_cell_that_displays_the_job_already_only_updates_it(self, kernel):
        messages = kernel.run(
            "job = make_job(**RUNNING); display(job); later(end_job, job); print(job.wait(30))", "a"
        )
        assert [each[:2] for each in displays(messages)] == [("view", False), ("record", False), ("record", True)]

    def test_end_is_sent_before_the_cell_ends(self, kernel):
        """A report keeps only that, so the rate limit must not delay it."""
        kernel.run_silently(
            "from analytics_kit.notebook.rate_limit import rate_limiter; rate_limiter.request = lambda *_: None"
        )
        messages = kernel.run(
            "job = make_job(**RUNNING); display(job); later(end_job, job); print(job.wait(30))", "a"
        )
        kernel.run_silently("del rate_limiter.request")
        assert "completed" in record_texts(messages)[-1]

    def test_waiting_in_another_cell_displays_the_job_there_too(self, kernel):
        kernel.run("job = make_job(**RUNNING); job", "a")
        messages = kernel.run("later(end_job, job); print(job.wait(30))", "b")
        assert [each[:2] for each in displays(messages)][:2] == [("view", False), ("record", False)]
        assert "completed" in record_texts(messages)[-1]

    def test_end_that_a_cell_displays_already_is_not_displayed_again(self, kernel):
        kernel.run("job = make_job(**RUNNING); job", "a")
        kernel.run_silently("end_job(job)")
        await_record(kernel, "completed")
        assert displays(kernel.run("job.wait()", "b")) == []

    def test_end_that_no_cell_displays_is_displayed(self, kernel):
        messages = kernel.run("job = make_job(**COMPLETED); print(job.wait())", "a")
        assert [each[:2] for each in displays(messages)] == [("view", False), ("record", False)]

    def test_timed_out_wait_leaves_the_known_state(self, kernel):
        messages = kernel.run("job = make_job(**RUNNING); print(job.wait(0.05))", "a")
        assert record_texts(messages) == ["study.zip: running, processing 40%"]

    def test_result_of_a_failed_job_displays_the_job_and_raises(self, kernel):
        messages = kernel.run("job = make_job(**FAILED); job.result()", "a", raises=True)
        assert record_texts(messages) == ["study.zip: failed, BadArchiveError: torn"]
        assert [m["content"]["ename"] for m in messages if m["msg_type"] == "error"] == ["BadArchiveError"]

    @pytest.mark.parametrize("stdin", [True, False])
    @pytest.mark.parametrize(
        "code",
        [
            "list(ak.as_completed(jobs))",
            "\ntry: ak.gather(*jobs)\nexcept ak.AnalyticsKitError: pass",
            "[job.exception() for job in jobs]",
        ],
    )
    def test_waiting_for_several_jobs_displays_nothing(self, kernel, code, stdin):
        messages = kernel.run(f"jobs = [make_job(**FAILED) for _ in range(3)]; {code};", "a", stdin)
        assert displays(messages) == []


class TestButtons:
    @pytest.fixture
    def box(self, kernel):
        return first_model_id(kernel.run("job = make_job(**RUNNING); job", "a"))

    def await_box(self, kernel, box, text):
        kernel.until(lambda messages: text in "".join(drawn_html(messages, box)[-1:]), f"the box contains {text}")

    def test_cancel(self, kernel, box):
        kernel.send_to_widget(box, action="cancel")
        self.await_box(kernel, box, "■ cancelled")
        await_record(kernel, "cancelled")

    def test_cancel_that_comes_too_late_is_noted(self, kernel, box):
        kernel.run_silently("fake.cancel = lambda job_id: False")
        kernel.send_to_widget(box, action="cancel")
        self.await_box(kernel, box, "too late to cancel")
        kernel.run_silently("del fake.cancel")

    def test_retry_follows_the_new_job(self, kernel):
        box = first_model_id(kernel.run("job = make_job(**FAILED); job", "a"))
        kernel.send_to_widget(box, action="retry")
        self.await_box(kernel, box, "This is the new job: job = client.get_job(")
        assert "◷ queued" in drawn_html(kernel.messages, box)[-1]
        await_record(kernel, "queued")
        kernel.run_silently("new = list(fake.infos.values())[-1]; fake.infos[new.job_id] = type(new)(**{"
                  "**{f: getattr(new, f) for f in new.__slots__}, **COMPLETED}); fake.notify()")  # fmt: skip
        self.await_box(kernel, box, "✔ completed")
        await_record(kernel, "completed")

    def test_the_log_opens_and_closes(self, kernel, box):
        kernel.send_to_widget(box, action="log")
        self.await_box(kernel, box, ">log of job-")
        kernel.send_to_widget(box, action="log")
        self.await_box(kernel, box, 'aria-expanded="false"')
        assert "log of job-" not in drawn_html(kernel.messages, box)[-1]

    def test_failed_action_is_noted_with_its_error(self, kernel, box):
        kernel.run_silently("fake.away = 'Redis <is> away'")
        kernel.send_to_widget(box, action="cancel")
        self.await_box(kernel, box, "Cancel did not work: Redis &lt;is&gt; away")

    def test_unknown_action_is_ignored(self, kernel, box):
        for odd in ("__class__", None, 7):
            kernel.send_to_widget(box, action=odd)
        kernel.send_to_widget(box)
        assert kernel.evaluate("job.running()")

    def test_page_opened_later_shows_that_the_record_is_outdated(self, kernel, box):
        kernel.send_to_widget(box, action="open_page", page="one")
        kernel.send_to_widget(box, action="open_page", page="one")
        assert not kernel.evaluate("job._panel._is_record_stale")
        kernel.send_to_widget(box, action="open_page", page="two")
        self.await_box(kernel, box, "page was opened after")
        messages = kernel.run("later(end_job, job); print(job.wait(30))", "b")
        assert displays(messages)[0][0] == "view"
        self.await_box(kernel, box, "✔ completed")
        assert "page was opened" not in drawn_html(kernel.messages, box)[-1]


class TestErrors:
    def test_broker_that_is_away_is_a_notice_until_it_returns(self, kernel):
        kernel.run("job = make_job(**RUNNING); job", "a")
        kernel.run_silently("fake.away = 'no answer'; fake.notify()")
        await_record(kernel, "(Reconnecting …: no answer)")
        kernel.run_silently("fake.away = None; end_job(job)")
        await_record(kernel, "completed")
        assert "Reconnecting" not in record_texts(kernel.messages)[-1]

    def test_deleted_job_keeps_its_last_known_state(self, kernel):
        kernel.run("job = make_job(**RUNNING); job", "a")
        kernel.run_silently("del fake.infos[job.id]; fake.notify()")
        await_record(kernel, "running, processing 40% (Job ")

    def test_outdated_state_does_not_replace_the_end(self, kernel):
        """A state read before the end may be delivered after it."""
        box = first_model_id(kernel.run("job = make_job(**RUNNING); early = job.info(); job", "a"))
        kernel.run_silently("end_job(job)")
        await_record(kernel, "completed")
        kernel.run_silently("job._panel._on_change(early)")
        kernel.send_to_widget(box, action="open_page", page="one")
        assert kernel.evaluate("str(job._panel._info.status)") == "completed"


class TestWithoutFrontEnd:
    def test_display_waits_and_gives_one_settled_record(self, kernel):
        messages = kernel.run("job = make_job(**RUNNING); later(end_job, job); job", "a", stdin=False)
        assert [each[:2] for each in displays(messages)] == [("record", False)]
        assert record_texts(messages) == ["study.zip: completed, 3 trials, 9 events, 0 issues"]
        assert not [m for m in messages if m["msg_type"].startswith("comm")]

    def test_failed_job_gives_one_settled_record(self, kernel):
        messages = kernel.run("job = make_job(**RUNNING); later(end_job, job, **FAILED); job", "a", stdin=False)
        assert record_texts(messages) == ["study.zip: failed, BadArchiveError: torn"]

    @pytest.mark.parametrize("code", ["print(job.wait(30))", "display(job); print(job.wait(30))"])
    def test_waiting_gives_exactly_one_settled_record(self, kernel, code):
        messages = kernel.run(f"job = make_job(**RUNNING); later(end_job, job); {code}", "a", stdin=False)
        assert [each[:2] for each in displays(messages)] == [("record", False)]
        assert "completed" in record_texts(messages)[0]

    def test_interrupted_wait_leaves_the_known_state(self, kernel):
        messages = kernel.run("job = make_job(**RUNNING); job.result(0.05)", "a", stdin=False, raises=True)
        assert record_texts(messages) == ["study.zip: running, processing 40%"]

    def test_two_runs_give_equal_outputs(self, kernel):
        def outputs():
            messages = kernel.run("job = make_job(**RUNNING); later(end_job, job); job", "a", stdin=False)
            return [m["content"]["data"] for m in messages if m["msg_type"] == "display_data"]

        assert outputs() == outputs()


class TestStudy:
    """A real study, processed in the kernel that displays it."""

    @pytest.fixture(scope="class")
    @staticmethod
    def study(tmp_path_factory):
        return ak.sample_study(tmp_path_factory.mktemp("study") / "study.zip", participants=2, trials=1)

    @pytest.fixture(scope="class", autouse=True)
    @staticmethod
    def _local_backend(tmp_path_factory):
        """Run jobs in the kernel; all kernels share the compiled kernels."""
        with pytest.MonkeyPatch.context() as patch:
            for name in [name for name in os.environ if name.startswith(("ANALYTICS_KIT_", "REDIS_"))]:
                patch.delenv(name)
            patch.setenv("ANALYTICS_KIT_BACKEND", "local")
            patch.setenv("ANALYTICS_KIT_HOME", str(tmp_path_factory.mktemp("home")))
            patch.setenv("IPYTHONDIR", str(tmp_path_factory.mktemp("ipython")))
            yield

    def outputs(self, study, code):
        """Return the outputs of a cell that nbclient ran in a kernel of its own."""
        cells = ["import analytics_kit as ak", f"job = ak.submit({str(study)!r})\n{code}"]
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        NotebookClient(notebook, timeout=100, kernel_name="python3").execute()
        return [{"type": each.output_type, "data": each.data} for each in notebook.cells[1].outputs]

    def test_two_runs_of_a_notebook_leave_one_equal_settled_record(self, study):
        first = self.outputs(study, "job")
        again = self.outputs(study, "result = job.result()")
        assert first == again
        assert [each["type"] for each in first] == ["display_data"]
        assert first[0]["data"]["text/plain"].startswith("study.zip: completed, ")
        assert set(first[0]["data"]) == {"text/plain", "text/html"}

    @pytest.mark.parametrize("program", [["-c"], ["-m", "IPython", "--simple-prompt", "--quick", "-c"]])
    def test_without_a_kernel_only_text_is_printed(self, study, program):
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
