"""The command line as a script sees it: standard output, standard error and exit codes."""

import gzip
import io
import json
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pandas as pd
import pytest

import analytics_kit as ak
from analytics_kit.backends.embedded import backend as embedded
from analytics_kit.code_version import code_version
from analytics_kit.settings import Settings

HEAD_COLUMNS = ["participant", "task", "factor", "trial", "movement_count", "path_length_px"]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home whose embedded broker serves this module and is gone afterwards."""
    home = tmp_path_factory.mktemp("cli") / "home"
    yield home
    embedded.stop(Settings.of(home=home))


@pytest.fixture(scope="module")
def cli(home, tmp_path_factory):
    """cli("jobs", "--json", REDIS_HOST=…) → the finished process."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("REDIS_", "ANALYTICS_KIT_"))
    }

    # Below the temporary folder the home would be private, and its broker would end between two commands.
    inherited["TMPDIR"] = str(tmp_path_factory.mktemp("temporary"))

    def run(*arguments, **environment):
        return subprocess.run(
            [sys.executable, "-m", "analytics_kit.cli", *map(str, arguments)],
            env=inherited | {"ANALYTICS_KIT_HOME": str(home), "ANALYTICS_KIT_WORKERS": "1"} | environment,
            capture_output=True, text=True, check=False, cwd=home.parent,
        )  # fmt: skip

    return run


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return ak.sample_study(tmp_path_factory.mktemp("study") / "study.zip", participants=2, trials=1)


@pytest.fixture(scope="module")
def job_id(cli, study):
    """A completed job."""
    run = cli("submit", study, "--wait", "--json", "--tag", "mine")
    assert (run.returncode, run.stderr) == (0, "")
    return json.loads(run.stdout)["job_id"]


def test_demo_runs_a_job_on_workers_and_shows_its_trials(cli):
    run = cli("demo")
    assert run.returncode == 0
    assert "on the embedded backend" in run.stdout
    assert "is completed" in run.stdout
    assert run.stdout.splitlines()[3].split() == HEAD_COLUMNS


def test_sample_writes_what_the_library_writes(cli, tmp_path):
    assert cli("sample", tmp_path / "a.zip", "--participants", 1, "--trials", 1, "--seed", 4).returncode == 0
    ak.sample_study(tmp_path / "b.zip", 1, 1, 4)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_process_prints_the_first_trials_and_saves_the_result(cli, study, tmp_path):
    run = cli("process", study, "--save", tmp_path / "saved", "--set", "participants=1")
    assert run.returncode == 0
    assert "StudyResult(1 participants, 4 trials" in run.stdout
    assert len(ak.load(tmp_path / "saved").trials) == 4


def test_process_json_is_the_summary(cli, study):
    run = cli("process", study, "--json")
    assert json.loads(run.stdout)["trials"] == 8
    assert run.stderr == ""


def test_submit_prints_the_id_and_returns(cli, study, job_id):
    run = cli("submit", study)
    assert run.stdout.strip() == job_id  # the same content joins the job that exists


def test_submit_wait_shows_a_bar_and_the_trials(cli, study):
    run = cli("submit", study, "--wait", "--refresh")
    assert run.returncode == 0
    assert "completed" in run.stderr
    assert "StudyResult(2 participants, 8 trials" in run.stdout


def test_jobs_lists_jobs_and_shows_the_details_of_one(cli, job_id):
    assert job_id in cli("jobs").stdout
    rows = json.loads(cli("jobs", "--status", "completed", "--json").stdout)
    assert job_id in [row["job_id"] for row in rows]
    one = json.loads(cli("jobs", job_id, "--json").stdout)
    assert one["status"] == "completed"
    assert one["tags"] == ["mine"]
    assert one["summary"]["trials"] == 8
    assert "completed" in cli("jobs", job_id).stdout


@pytest.mark.parametrize("table", ["trials", "participants", "tasks", "factors", "issues", "members", "surveys"])
def test_result_as_csv(cli, job_id, table):
    run = cli("result", job_id, "--table", table)
    frame = pd.read_csv(io.StringIO(run.stdout))
    assert len(frame) == {"trials": 8, "participants": 2, "tasks": 2, "factors": 2, "members": 32}.get(table, 0)


def test_result_as_parquet(cli, job_id, tmp_path):
    path = tmp_path / "trials.parquet"
    assert cli("result", job_id, "--format", "parquet", "-o", path).returncode == 0
    assert len(pd.read_parquet(path)) == 8


@pytest.mark.parametrize("table", ["trials", "issues", "members"])
@pytest.mark.parametrize("extension", ["csv", "parquet"])
def test_result_has_the_bytes_that_pandas_writes(cli, home, job_id, tmp_path, table, extension):
    path, expected = tmp_path / f"table.{extension}", tmp_path / f"expected.{extension}"
    assert cli("result", job_id, "--table", table, "-o", path).returncode == 0
    with ak.Client(home=home) as client:
        frame = getattr(client.get_job(job_id).result(), table)
    frame.to_parquet(expected, index=False) if extension == "parquet" else frame.to_csv(expected, index=False)
    assert path.read_bytes() == expected.read_bytes()


def test_result_compresses_csv_by_the_extension(cli, job_id, tmp_path):
    path = tmp_path / "trials.csv.gz"
    assert cli("result", job_id, "--format", "csv", "-o", path).returncode == 0
    assert gzip.decompress(path.read_bytes()).startswith(b"participant,")


@pytest.mark.parametrize("name", ["t::1.csv", "t*.csv", "t[1].csv"])
def test_result_writes_to_the_file_of_any_name(cli, job_id, tmp_path, name):
    assert cli("result", job_id, "-o", tmp_path / name).returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_doctor_finds_no_fault(cli, job_id):
    run = cli("doctor")
    assert run.returncode == 0
    assert "FAIL" not in run.stdout
    findings = {finding["what"]: finding for finding in json.loads(cli("doctor", "--json").stdout)}
    assert "embedded" in findings["broker"]["found"]
    assert findings["workers"]["found"].startswith("1 on queue analytics")
    code = str(code_version())
    assert findings["code"]["found"] == f"client: {code}, supervisor: {code}, 1 worker: {code}"
    assert findings["clocks"]["found"] == "this host and the store agree"


def test_doctor_advises_what_to_do(cli):
    run = cli("doctor", REDIS_HOST="127.0.0.1", REDIS_PORT="1", NUMBA_CACHE_DIR="/dev/null/none")
    assert run.returncode == 1
    assert "FAIL compiled kernels" in run.stdout
    assert "NUMBA_CACHE_DIR" in run.stdout
    assert "FAIL broker" in run.stdout
    assert "Start the configured Redis" in run.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["submit", "nowhere.zip"], 1, "There is no study at"),
        (["process", "nowhere.zip"], 1, "SourceNotFoundError"),
        (["jobs", "0123456789abcdef"], 1, "JobNotFoundError"),
        (["submit", "nowhere.zip", "--set", "metric=x"], 2, "Did you mean 'metrics'"),
        (["submit", "nowhere.zip", "--set", "metrics"], 2, "name=value"),
        (["submit"], 2, "Missing argument"),
        (["frobnicate"], 2, "No such command"),
        (["sample", "x.zip", "--participants", "0"], 2, "participants"),
    ],
)
def test_errors_go_to_standard_error_without_a_traceback(cli, arguments, code, message):
    run = cli(*arguments)
    assert (run.returncode, run.stdout) == (code, "")
    assert message in " ".join(run.stderr.split())
    assert "Traceback" not in run.stderr


def test_debug_shows_the_traceback(cli):
    assert "Traceback" in cli("--debug", "process", "nowhere.zip").stderr
    assert "Traceback" in cli("process", "nowhere.zip", "--debug").stderr


@pytest.mark.parametrize(
    ("arguments", "environment", "code", "message"),
    [
        (["result", "JOB", "-o", "/nonexistent/t.csv"], {}, 1, "/nonexistent"),
        (["result", "JOB", "-o", "/nonexistent/t.parquet"], {}, 1, "/nonexistent"),
        (["sample", "/proc/s.zip"], {}, 1, "/proc"),
        (["process", "STUDY", "--save", "/nonexistent/kept"], {}, 2, "/nonexistent is missing"),
        (["process", "STUDY", "--save", "/proc/kept"], {}, 1, "can't be used at /proc/kept"),
        (["submit", "STUDY", "--timeout", "3"], {}, 2, "--wait"),
        (["submit", ""], {}, 1, "empty path"),
        (["submit", "/dev/zero"], {}, 1, "neither a file nor a folder"),
        (["doctor"], {"ANALYTICS_KIT_STORE": "bogus://x", "ANALYTICS_KIT_BACKEND": "local"}, 1, ""),
        (["jobs"], {"REDIS_URL": "redis://[abc"}, 2, "can't be read"),
    ],
)
def test_ordinary_mistakes_have_no_traceback(cli, job_id, study, arguments, environment, code, message):
    run = cli(*({"JOB": job_id, "STUDY": study}.get(word, word) for word in arguments), **environment)
    assert run.returncode == code
    assert message in " ".join(run.stderr.split())
    assert "Traceback" not in run.stderr


def test_submit_runs_in_this_process_where_the_home_is_a_file(cli, study, tmp_path):
    (tmp_path / "file").touch()
    store = {"ANALYTICS_KIT_HOME": str(tmp_path / "file"), "ANALYTICS_KIT_STORE": str(tmp_path / "store")}
    run = cli("submit", study, **store)
    assert run.returncode == 0
    assert "ANALYTICS_KIT_HOME" in run.stderr
    assert "No embedded broker" in cli("down", **store).stdout


def test_jobs_cuts_nothing_in_a_narrow_terminal(cli, job_id):
    assert job_id in cli("jobs", COLUMNS="40").stdout


def test_process_draws_its_bar_outside_standard_output(cli, study):
    assert cli("process", study).stdout.startswith("StudyResult(")


def test_process_replaces_characters_that_the_terminal_cannot_encode(cli, tmp_path):
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as archive:
        archive.writestr(
            "1_participant_session/Tâche_A_trial_1/Mouse Movement.csv", "Time,running_time,x,y\n1:00:00,0.1,1,?\n"
        )
    run = cli("process", tmp_path / "s.zip", PYTHONIOENCODING="ascii")
    assert run.returncode == 0
    assert "T?che_A_trial_1/Mouse Movement.csv, line 2: y is not a number: '?' (not_a_number)" in run.stdout


def test_result_takes_the_format_from_the_extension(cli, job_id, tmp_path):
    assert cli("result", job_id, "-o", tmp_path / "t.parquet").returncode == 0
    assert len(pd.read_parquet(tmp_path / "t.parquet")) == 8


def test_submit_wait_without_workers_prints_a_notice_and_can_be_interrupted(cli, study, redis_url, home):
    environment = os.environ | {"REDIS_URL": redis_url.removesuffix("/0") + "/11", "ANALYTICS_KIT_HOME": str(home)}
    command = [sys.executable, "-m", "analytics_kit.cli", "submit", str(study), "--wait"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as waiting:
        for line in waiting.stderr:
            if "No worker listens" in line:
                break
        waiting.send_signal(signal.SIGINT)
        stderr = waiting.stderr.read()
    assert waiting.returncode == 130
    assert "Interrupted. Job" in stderr
    job_id = stderr.split("analytics-kit jobs ")[1].split("`")[0]
    assert json.loads(cli("jobs", job_id, "--json", REDIS_URL=environment["REDIS_URL"]).stdout)["status"] == "queued"


def test_submit_wait_reports_a_failed_job(cli, tmp_path):
    bad = tmp_path / "bad.zip"
    bad.write_bytes(b"this is no archive")
    run = cli("submit", bad, "--wait")
    assert run.returncode == 1
    assert "BadArchiveError: bad.zip is not a readable ZIP" in run.stderr
    assert "Hint:" in run.stderr
    run = cli("submit", bad, "--wait", "--json")
    assert json.loads(run.stdout)["error"]["type"] == "BadArchiveError"
    assert run.returncode == 1


def test_submit_wait_times_out_and_the_job_goes_on(cli, study):
    run = cli("submit", study, "--wait", "--timeout", "0", "--refresh")
    assert run.returncode == 3
    job_id = run.stderr.split("analytics-kit jobs ")[1].split("`")[0]
    assert json.loads(cli("jobs", job_id, "--json").stdout)["status"] in ("queued", "running", "completed")


def test_submit_reports_a_dead_redis_once_and_runs_in_this_process(cli, study):
    run = cli("submit", study, REDIS_HOST="127.0.0.1", REDIS_PORT="1")
    assert run.returncode == 0
    assert run.stderr.count("Redis at redis://127.0.0.1:1/0 can't be used") == 1
    assert "StudyResult(2 participants, 8 trials" in run.stdout


def test_down_ends_the_broker_and_keeps_the_jobs(cli, job_id):
    assert "is down" in cli("down").stdout
    assert "No embedded broker was running" in cli("down").stdout
    assert job_id in cli("jobs").stdout


def test_installed_command_prints_the_version():
    command = Path(sys.executable).with_name("analytics-kit")
    assert subprocess.run([command, "--version"], capture_output=True, text=True, check=True).stdout == "0.1.0\n"
