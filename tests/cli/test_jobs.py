"""The command line's verbs for jobs: many at once, each with a line of outcome, and what it exits with."""

import json
import os
import re
import signal
import subprocess
import sys
from datetime import UTC, datetime

import pytest

import analytics_kit as ak
from analytics_kit.backends.embedded import backend as embedded
from analytics_kit.cli.output import job_pairs
from analytics_kit.job import Job
from analytics_kit.model import Failure, JobInfo, JobStatus
from analytics_kit.settings import Settings
from tests.processes import until


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home whose embedded broker serves this module and is gone afterwards."""
    home = tmp_path_factory.mktemp("cli") / "home"
    yield home
    embedded.stop(Settings.of(home=home))


@pytest.fixture(scope="module")
def environment(home):
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("REDIS_", "ANALYTICS_KIT_"))
    }
    return inherited | {"ANALYTICS_KIT_HOME": str(home), "ANALYTICS_KIT_WORKERS": "1"}


@pytest.fixture(scope="module")
def kit(home, environment):
    """kit("jobs", "--json") → the finished process."""

    def run(*words, **more):
        return subprocess.run(
            [sys.executable, "-m", "analytics_kit.cli", *map(str, words)],
            env=environment | more, capture_output=True, text=True, check=False, cwd=home.parent,
        )  # fmt: skip

    return run


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    folder = tmp_path_factory.mktemp("studies")
    return [ak.sample_study(folder / f"s{n}.zip", participants=1, trials=1, seed=n) for n in range(3)]


@pytest.fixture(scope="module")
def bad(tmp_path_factory):
    path = tmp_path_factory.mktemp("bad") / "bad.zip"
    path.write_bytes(b"this is no archive")
    return path


@pytest.fixture(scope="module")
def stuck(redis_url, home):
    """What names a Redis on which nobody works: what is queued there stays so."""
    return {"REDIS_URL": redis_url.removesuffix("/0") + "/12", "ANALYTICS_KIT_HOME": str(home)}


def told(run):
    return json.loads(run.stdout)


def failed_job(kit, bad):
    return told(kit("submit", bad, "--wait", "--json"))["job_id"]


class TestSubmitMany:
    def test_prints_a_line_for_each(self, kit, studies):
        run = kit("submit", *studies)
        assert (run.returncode, run.stderr) == (0, "")
        lines = run.stdout.splitlines()
        assert [line.split()[1] for line in lines] == ["s0.zip", "s1.zip", "s2.zip"]
        assert all(re.fullmatch("[0-9a-f]{16}", line.split()[0]) for line in lines)

    def test_waits_for_all_with_a_line_as_each_ends(self, kit, studies):
        run = kit("submit", *studies, "--wait", "--refresh", "--time-limit", "60", "--tag", "many")
        assert run.returncode == 0, run.stderr
        assert sorted(re.findall(r"(s\d\.zip): completed, 4 trials", run.stdout)) == ["s0.zip", "s1.zip", "s2.zip"]
        assert len(run.stdout.splitlines()) == len(run.stderr.splitlines()) == 3

    def test_what_cannot_be_submitted_is_told_and_the_others_go_on(self, kit, studies):
        run = kit("submit", studies[0], "nowhere.zip", studies[1], "--wait")
        assert run.returncode == 1
        assert "nowhere.zip: There is no study at" in run.stderr
        assert run.stdout.count("completed") == 2

    def test_one_that_fails(self, kit, studies, bad):
        run = kit("submit", studies[0], bad, "--wait")
        assert run.returncode == 1
        assert "bad.zip: failed, BadArchiveError: bad.zip is not a readable ZIP" in run.stdout
        assert "s0.zip: completed" in run.stdout
        assert "Traceback" not in run.stderr

    def test_json_is_a_list(self, kit, studies, bad):
        run = kit("submit", studies[0], bad, "nowhere.zip", "--wait", "--json")
        assert [job["status"] for job in told(run)] == ["completed", "failed"]
        assert run.returncode == 1

    def test_one_that_is_cancelled(self, kit, environment, studies, stuck):
        command = [
            sys.executable,
            "-m",
            "analytics_kit.cli",
            "submit",
            *map(str, studies[:2]),
            "--wait",
            "--refresh",
        ]
        with subprocess.Popen(
            command, env=environment | stuck, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as run:
            ids = [run.stderr.readline().split()[0] for _ in range(2)]
            assert kit("cancel", *ids, **stuck).returncode == 0
            assert run.stdout.read().count("cancelled") == 2
        assert run.returncode == 4

    def test_a_time_out_says_what_goes_on(self, kit, studies, stuck):
        run = kit("submit", *studies, "--wait", "--timeout", "0.1", **stuck)
        assert run.returncode == 3
        assert "3 jobs go on; `analytics-kit jobs` shows them." in run.stderr
        assert "No worker listens on this Redis" in run.stderr

    @pytest.mark.parametrize("as_json", [[], ["--json"]])
    def test_ctrl_c_leaves_them_running(self, kit, environment, studies, stuck, as_json):
        command = [sys.executable, "-m", "analytics_kit.cli", "submit", *map(str, studies), "--wait", *as_json]
        with subprocess.Popen(
            command, env=environment | stuck, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as run:
            for line in run.stderr:
                if "No worker listens" in line:
                    break
            run.send_signal(signal.SIGINT)
            assert "Interrupted. 3 jobs go on; `analytics-kit jobs` shows them." in run.stderr.read()
            said = run.stdout.read()
        assert run.returncode == 130
        assert [job["status"] for job in json.loads(said)] == ["queued"] * 3 if as_json else said == ""

    def test_here_they_are_waited_for(self, kit, studies, tmp_path):
        run = kit("submit", *studies, ANALYTICS_KIT_BACKEND="local", ANALYTICS_KIT_HOME=str(tmp_path / "home"))
        assert run.returncode == 0
        assert run.stdout.count("completed") == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["submit", "STUDY", "--time-limit", "0"], "time_limit_s can't be 0.0"),
        (["submit", "STUDY", "STUDY", "--memory-limit", "nan"], "memory_limit_mb can't be nan"),
        (["cancel"], "Which jobs?"),
        (["retry", "abc", "--all"], "Which jobs?"),
        (["delete", "abc", "--status", "failed"], "--status chooses among --all"),
        (["delete", "--all"], "Add --yes"),
        (["jobs", "--log"], "--log is of one job"),
    ],
)
def test_wrong_usage(kit, studies, words, said):
    run = kit(*(studies[0] if word == "STUDY" else word for word in words))
    assert (run.returncode, run.stdout) == (2, "")
    assert said in run.stderr


def test_a_memory_limit_needs_the_queue(kit, studies, tmp_path):
    local = {"ANALYTICS_KIT_BACKEND": "local", "ANALYTICS_KIT_HOME": str(tmp_path / "home")}
    run = kit("submit", studies[0], "--memory-limit", "500", **local)
    assert run.returncode == 2
    assert "work inside this process can't be killed" in run.stderr


class TestVerbs:
    def test_cancel_tells_of_each(self, kit, studies, stuck):
        ids = [line.split()[0] for line in kit("submit", *studies, **stuck).stdout.splitlines()]
        run = kit("cancel", ids[0], "nonesuch", ids[0], ids[1], **stuck)
        assert run.returncode == 1
        assert run.stdout.splitlines() == [f"{ids[0]} cancelled", f"{ids[1]} cancelled"]
        assert "No job has the id 'nonesuch'" in run.stderr
        assert kit("cancel", "--all", **stuck).stdout.splitlines() == [f"{ids[2]} cancelled"]
        assert kit("cancel", ids[0], **stuck).stdout.splitlines() == [f"{ids[0]} cancelled"]
        assert kit("cancel", "--all", **stuck).returncode == 0

    def test_retry_makes_new_jobs(self, kit, bad):
        first, second = failed_job(kit, bad), failed_job(kit, bad)
        run = kit("retry", first)
        assert run.returncode == 0
        again = re.fullmatch(f"{first} retried as ([0-9a-f]{{16}})\n", run.stdout)[1]
        assert told(kit("jobs", again, "--json"))["retry_of"] == first
        until(lambda: told(kit("jobs", again, "--json"))["status"] == "failed", "it has failed again")
        lines = kit("retry", "--all", "--status", "failed").stdout.splitlines()
        assert {second, again} <= {line.split()[0] for line in lines}
        assert first not in {line.split()[0] for line in lines}, "it was retried before"

    def test_completed_work_is_not_retried(self, kit, studies):
        job_id = told(kit("submit", studies[0], "--wait", "--json"))["job_id"]
        run = kit("retry", job_id)
        assert run.returncode == 1
        assert "refresh=True" in run.stderr

    def test_delete(self, kit, studies, bad):
        kept, gone = (told(kit("submit", study, "--wait", "--json"))["job_id"] for study in studies[:2])
        run = kit("delete", gone, "nonesuch")
        assert (run.returncode, run.stdout) == (1, f"{gone} deleted\n")
        assert "JobNotFoundError" in kit("jobs", gone).stderr
        failed = failed_job(kit, bad)
        run = kit("delete", "--all", "--status", "failed")
        assert run.returncode == 0
        assert f"{failed} deleted" in run.stdout
        assert f"{kept} deleted" not in run.stdout
        assert f"{kept} deleted" in kit("delete", "--all", "--yes").stdout
        assert told(kit("jobs", "--json")) == []


class TestOneJob:
    def test_is_told_in_words(self, kit, studies, bad):
        job_id = told(kit("submit", studies[2], "--wait", "--json", "--tag", "a", "--tag", "b", "--refresh"))[
            "job_id"
        ]
        lines = dict(line.split(maxsplit=1) for line in kit("jobs", job_id).stdout.splitlines())
        assert (lines["tags"], lines["status"], lines["fraction"]) == ("a, b", "completed", "100%")
        assert "trials 4" in lines["summary"]
        summary = told(kit("jobs", job_id, "--json"))["summary"]
        assert (lines["rows"], lines["files"]) == (f"{summary['rows_in']:,}", str(summary["members"]))
        assert not re.search(r"[\[\]{}]", "".join(lines.values()))
        said = kit("jobs", failed_job(kit, bad)).stdout
        assert re.search(r"error +BadArchiveError: bad\.zip is not a readable ZIP", said)
        assert "hint " in said

    def test_that_is_queued_tells_its_place(self, kit, studies, stuck):
        ids = [line.split()[0] for line in kit("submit", *studies, **stuck).stdout.splitlines()]
        assert re.search(r"^queue_position +2$", kit("jobs", ids[1], **stuck).stdout, re.MULTILINE)
        assert [told(kit("jobs", job_id, "--json", **stuck))["queue_position"] for job_id in ids] == [1, 2, 3]
        run = kit("submit", studies[2], "--wait", "--timeout", "0.1", **stuck)
        assert "queued, number 3 in line" in run.stderr
        kit("cancel", "--all", **stuck)

    def test_has_a_log(self, kit, bad):
        job_id = failed_job(kit, bad)
        lines = kit("jobs", job_id, "--log").stdout.splitlines()
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d queued", lines[0])
        assert "BadArchiveError" in "\n".join(lines)
        assert told(kit("jobs", job_id, "--log", "--json"))["log"] == lines

    def test_without_anything_to_say(self):
        info = JobInfo("id", JobStatus.FAILED, "/d/s.zip", "key", datetime.now(UTC), error=Failure("KeyError", "odd"))
        pairs = job_pairs(Job(None, info))
        assert pairs["error"] == "KeyError: odd"
        assert (
            not {"hint", "tags", "summary", "size_bytes", "notice", "retry_of", "ended_at", "rows", "queue_position"}
            & pairs.keys()
        )


class TestRedisThatIsAway:
    """Jobs that are there are not looked for in this process."""

    @pytest.mark.parametrize("words", [("jobs",), ("jobs", "abc"), ("cancel", "abc"), ("result", "abc")], ids=str)
    def test_is_an_error_of_every_command_that_asks_for_jobs(self, kit, words):
        run = kit(*words, REDIS_URL="redis://127.0.0.1:9/0")
        assert run.returncode == 1
        assert "BrokerUnavailableError" in run.stderr or "can't be used" in run.stderr
        assert not run.stdout


def test_nothing_to_do_is_said(kit):
    run = kit("cancel", "--all", "--status", "failed")
    assert run.returncode == 0
    assert "nothing was done" in run.stderr
