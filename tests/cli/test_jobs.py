"""The commands for jobs: several jobs at once, a line of outcome for each, and exit codes."""

import io
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
from analytics_kit.cli import main
from analytics_kit.cli.exit_codes import ExitCode
from analytics_kit.cli.output import job_pairs
from analytics_kit.job import Job
from analytics_kit.model import Failure, JobInfo, JobStatus
from analytics_kit.settings import Settings
from tests.processes import until


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home whose embedded broker serves this module and is deleted afterwards."""
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
def cli(home, environment):
    """cli("jobs", "--json") → the finished process."""

    def run(*arguments, **more):
        return subprocess.run(
            [sys.executable, "-m", "analytics_kit.cli", *map(str, arguments)],
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
def without_workers(redis_url, home):
    """The environment of a Redis without workers, where jobs stay queued."""
    return {"REDIS_URL": redis_url.removesuffix("/0") + "/12", "ANALYTICS_KIT_HOME": str(home)}


def parsed(run):
    return json.loads(run.stdout)


def failed_job(cli, bad):
    return parsed(cli("submit", bad, "--wait", "--json"))["job_id"]


class TestSubmitMany:
    def test_prints_a_line_for_each(self, cli, studies):
        run = cli("submit", *studies)
        assert (run.returncode, run.stderr) == (0, "")
        lines = run.stdout.splitlines()
        assert [line.split()[1] for line in lines] == ["s0.zip", "s1.zip", "s2.zip"]
        assert all(re.fullmatch("[0-9a-f]{16}", line.split()[0]) for line in lines)

    def test_waits_for_all_with_a_line_as_each_ends(self, cli, studies):
        run = cli("submit", *studies, "--wait", "--refresh", "--time-limit", "60", "--tag", "many")
        assert run.returncode == 0, run.stderr
        assert sorted(re.findall(r"(s\d\.zip): completed, 4 trials", run.stdout)) == ["s0.zip", "s1.zip", "s2.zip"]
        assert len(run.stdout.splitlines()) == len(run.stderr.splitlines()) == 3

    def test_reports_what_cannot_be_submitted_and_submits_the_others(self, cli, studies):
        run = cli("submit", studies[0], "nowhere.zip", studies[1], "--wait")
        assert run.returncode == 1
        assert "nowhere.zip: There is no study at" in run.stderr
        assert run.stdout.count("completed") == 2

    def test_exits_with_1_if_one_fails(self, cli, studies, bad):
        run = cli("submit", studies[0], bad, "--wait")
        assert run.returncode == 1
        assert "bad.zip: failed, BadArchiveError: bad.zip is not a readable ZIP" in run.stdout
        assert "s0.zip: completed" in run.stdout
        assert "Traceback" not in run.stderr

    def test_json_is_a_list(self, cli, studies, bad):
        run = cli("submit", studies[0], bad, "nowhere.zip", "--wait", "--json")
        assert [job["status"] for job in parsed(run)] == ["completed", "failed"]
        assert run.returncode == 1

    def test_exits_with_4_if_one_is_cancelled(self, cli, environment, studies, without_workers):
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
            command, env=environment | without_workers, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as run:
            ids = [run.stderr.readline().split()[0] for _ in range(2)]
            assert cli("cancel", *ids, **without_workers).returncode == 0
            assert run.stdout.read().count("cancelled") == 2
        assert run.returncode == 4

    def test_time_out_prints_what_goes_on(self, cli, studies, without_workers):
        run = cli("submit", *studies, "--wait", "--timeout", "0.1", **without_workers)
        assert run.returncode == 3
        assert "3 jobs go on; `analytics-kit jobs` shows them." in run.stderr
        assert "No worker listens on this Redis" in run.stderr

    @pytest.mark.parametrize("as_json", [[], ["--json"]])
    def test_ctrl_c_leaves_them_running(self, cli, environment, studies, without_workers, as_json):
        command = [sys.executable, "-m", "analytics_kit.cli", "submit", *map(str, studies), "--wait", *as_json]
        with subprocess.Popen(
            command, env=environment | without_workers, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as run:
            for line in run.stderr:
                if "No worker listens" in line:
                    break
            run.send_signal(signal.SIGINT)
            assert "Interrupted. 3 jobs go on; `analytics-kit jobs` shows them." in run.stderr.read()
            stdout = run.stdout.read()
        assert run.returncode == 130
        assert [job["status"] for job in json.loads(stdout)] == ["queued"] * 3 if as_json else stdout == ""

    def test_local_jobs_are_waited_for(self, cli, studies, tmp_path):
        run = cli("submit", *studies, ANALYTICS_KIT_BACKEND="local", ANALYTICS_KIT_HOME=str(tmp_path / "home"))
        assert run.returncode == 0
        assert run.stdout.count("completed") == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["submit", "STUDY", "--time-limit", "0"], "time_limit_s can't be 0.0"),
        (["submit", "STUDY", "STUDY", "--memory-limit", "nan"], "memory_limit_mb can't be nan"),
        (["cancel"], "Which jobs?"),
        (["retry", "abc", "--all"], "Which jobs?"),
        (["delete", "abc", "--status", "failed"], "--status chooses among --all"),
        (["delete", "--all"], "Add --yes"),
        (["jobs", "--log"], "--log needs the id of one job"),
    ],
)
def test_wrong_usage(cli, studies, arguments, message):
    run = cli(*(studies[0] if word == "STUDY" else word for word in arguments))
    assert (run.returncode, run.stdout) == (2, "")
    assert message in run.stderr


def test_memory_limit_needs_a_queue(cli, studies, tmp_path):
    local = {"ANALYTICS_KIT_BACKEND": "local", "ANALYTICS_KIT_HOME": str(tmp_path / "home")}
    run = cli("submit", studies[0], "--memory-limit", "500", **local)
    assert run.returncode == 2
    assert "work inside this process can't be killed" in run.stderr


class TestCancelRetryDelete:
    def test_cancel_prints_the_outcome_of_each(self, cli, studies, without_workers):
        ids = [line.split()[0] for line in cli("submit", *studies, **without_workers).stdout.splitlines()]
        run = cli("cancel", ids[0], "nonesuch", ids[0], ids[1], **without_workers)
        assert run.returncode == 1
        assert run.stdout.splitlines() == [f"{ids[0]} cancelled", f"{ids[1]} cancelled"]
        assert "No job has the id 'nonesuch'" in run.stderr
        assert cli("cancel", "--all", **without_workers).stdout.splitlines() == [f"{ids[2]} cancelled"]
        assert cli("cancel", ids[0], **without_workers).stdout.splitlines() == [f"{ids[0]} cancelled"]
        assert cli("cancel", "--all", **without_workers).returncode == 0

    def test_retry_makes_new_jobs(self, cli, bad):
        first, second = failed_job(cli, bad), failed_job(cli, bad)
        run = cli("retry", first)
        assert run.returncode == 0
        again = re.fullmatch(f"{first} retried as ([0-9a-f]{{16}})\n", run.stdout)[1]
        assert parsed(cli("jobs", again, "--json"))["retry_of"] == first
        until(lambda: parsed(cli("jobs", again, "--json"))["status"] == "failed", "it has failed again")
        lines = cli("retry", "--all", "--status", "failed").stdout.splitlines()
        assert {second, again} <= {line.split()[0] for line in lines}
        assert first not in {line.split()[0] for line in lines}, "it was retried before"

    def test_completed_work_is_not_retried(self, cli, studies):
        job_id = parsed(cli("submit", studies[0], "--wait", "--json"))["job_id"]
        run = cli("retry", job_id)
        assert run.returncode == 1
        assert "refresh=True" in run.stderr

    def test_delete(self, cli, studies, bad):
        remaining, deleted = (parsed(cli("submit", study, "--wait", "--json"))["job_id"] for study in studies[:2])
        run = cli("delete", deleted, "nonesuch")
        assert (run.returncode, run.stdout) == (1, f"{deleted} deleted\n")
        assert "JobNotFoundError" in cli("jobs", deleted).stderr
        failed = failed_job(cli, bad)
        run = cli("delete", "--all", "--status", "failed")
        assert run.returncode == 0
        assert f"{failed} deleted" in run.stdout
        assert f"{remaining} deleted" not in run.stdout
        assert f"{remaining} deleted" in cli("delete", "--all", "--yes").stdout
        assert parsed(cli("jobs", "--json")) == []


class TestOneJob:
    def test_details_are_printed_as_pairs(self, cli, studies, bad):
        job_id = parsed(cli("submit", studies[2], "--wait", "--json", "--tag", "a", "--tag", "b", "--refresh"))[
            "job_id"
        ]
        lines = dict(line.split(maxsplit=1) for line in cli("jobs", job_id).stdout.splitlines())
        assert (lines["tags"], lines["status"], lines["fraction"]) == ("a, b", "completed", "100%")
        assert "trials 4" in lines["summary"]
        summary = parsed(cli("jobs", job_id, "--json"))["summary"]
        assert (lines["rows"], lines["files"]) == (f"{summary['rows_in']:,}", str(summary["members"]))
        assert not re.search(r"[\[\]{}]", "".join(lines.values()))
        stdout = cli("jobs", failed_job(cli, bad)).stdout
        assert re.search(r"error +BadArchiveError: bad\.zip is not a readable ZIP", stdout)
        assert "hint " in stdout

    def test_queued_job_shows_its_position(self, cli, studies, without_workers):
        ids = [line.split()[0] for line in cli("submit", *studies, **without_workers).stdout.splitlines()]
        assert re.search(r"^queue_position +2$", cli("jobs", ids[1], **without_workers).stdout, re.MULTILINE)
        assert [parsed(cli("jobs", job_id, "--json", **without_workers))["queue_position"] for job_id in ids] == [
            1,
            2,
            3,
        ]
        run = cli("submit", studies[2], "--wait", "--timeout", "0.1", **without_workers)
        assert "queued, number 3 in line" in run.stderr
        cli("cancel", "--all", **without_workers)

    def test_log_is_printed(self, cli, bad):
        job_id = failed_job(cli, bad)
        lines = cli("jobs", job_id, "--log").stdout.splitlines()
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d queued", lines[0])
        assert "BadArchiveError" in "\n".join(lines)
        assert parsed(cli("jobs", job_id, "--log", "--json"))["log"] == lines

    def test_pairs_leave_out_empty_values(self):
        info = JobInfo("id", JobStatus.FAILED, "/d/s.zip", "key", datetime.now(UTC), error=Failure("KeyError", "odd"))
        pairs = job_pairs(Job(None, info))
        assert pairs["error"] == "KeyError: odd"
        assert (
            not {"hint", "tags", "summary", "size_bytes", "notice", "retry_of", "ended_at", "rows", "queue_position"}
            & pairs.keys()
        )


class TestRedisIsDown:
    """Jobs of a configured Redis are never looked for in this process."""

    @pytest.mark.parametrize("arguments", [("jobs",), ("jobs", "abc"), ("cancel", "abc"), ("result", "abc")], ids=str)
    def test_is_an_error_of_every_command_for_jobs(self, cli, arguments):
        run = cli(*arguments, REDIS_URL="redis://127.0.0.1:9/0")
        assert run.returncode == 1
        assert "BrokerUnavailableError" in run.stderr or "can't be used" in run.stderr
        assert not run.stdout


def test_cancel_without_matching_jobs_prints_a_message(cli):
    run = cli("cancel", "--all", "--status", "failed")
    assert run.returncode == 0
    assert "nothing was done" in run.stderr


class TestForget:
    @pytest.fixture
    def stored(self, tmp_path, monkeypatch):
        """A home with one result of two participants, on the backend that is this process."""
        monkeypatch.setenv("ANALYTICS_KIT_BACKEND", "local")
        monkeypatch.setenv("ANALYTICS_KIT_HOME", str(tmp_path / "home"))
        with ak.connect() as client:
            return client.process(ak.sample_study(tmp_path / "s.zip", participants=2, trials=1))

    def test_lists_what_it_did(self, stored, capsys):
        with pytest.raises(SystemExit, match="0"):
            main(["forget", "2", "--yes"])
        lines = dict(line.split() for line in capsys.readouterr().out.splitlines())
        assert lines["results"] == "1"
        assert lines["trials"] == "4"

    def test_json_has_counts_and_what_was_not_reached(self, stored, capsys):
        with pytest.raises(SystemExit, match="0"):
            main(["forget", "2", "--yes", "--json"])
        printed = json.loads(capsys.readouterr().out)
        assert (printed["trials"], printed["unreached"], printed["is_complete"]) == (4, [], True)

    def test_needs_yes_where_nobody_can_be_asked(self, stored, capsys, monkeypatch):
        monkeypatch.setattr("sys.stdin", io.StringIO())
        with pytest.raises(SystemExit) as ended:
            main(["forget", "2"])
        assert ended.value.code == ExitCode.USAGE
        assert "--yes" in capsys.readouterr().err
        assert len(stored.trials) == 8

    def test_nobody_of_the_name_is_an_error(self, stored, capsys):
        with pytest.raises(SystemExit) as ended:
            main(["forget", "22", "--yes"])
        assert ended.value.code == ExitCode.USAGE

    def test_what_was_not_reached_fails(self, stored, capsys, tmp_path):
        for path in (tmp_path / "home" / "store").rglob("manifest.json"):
            manifest = json.loads(path.read_text())
            del manifest["owner"]
            path.write_text(json.dumps(manifest))
        with pytest.raises(SystemExit) as ended:
            main(["forget", "2", "--yes"])
        assert ended.value.code == ExitCode.FAILED
        assert "Not reached: 1 folders of results" in capsys.readouterr().err
