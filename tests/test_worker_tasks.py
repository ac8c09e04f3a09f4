"""What workers call: they read only where they may, read a study once, and are warm before a job comes."""

import io
import socket
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import fsspec
import pytest

import analytics_kit as ak
from analytics_kit import worker_tasks
from analytics_kit.model import CannotRunHere
from analytics_kit.settings import Settings
from analytics_kit.study.store.store import Store

LIMIT_S = 60


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return ak.sample_study(tmp_path_factory.mktemp("study") / "study.zip", participants=2, trials=1)


@pytest.fixture
def client(tmp_path):
    with ak.connect("local", home=tmp_path / "home") as client:
        yield client


class CountingFiles(fsspec.AbstractFileSystem):
    """Local files behind `counting://`; notes each range of bytes that is read."""

    protocol = "counting"
    ranges: ClassVar = []

    def _open(self, path, mode="rb", **_):
        return CountingFile(path)


class CountingFile(io.FileIO):
    @property
    def size(self):
        return Path(self.name).stat().st_size

    def read(self, size=-1):
        start = self.tell()
        raw = super().read(size)
        CountingFiles.ranges.append((start, start + len(raw)))
        return raw


@pytest.fixture
def times_read(study):
    """times_read() → how often the central directory of the study was read since the last call."""
    fsspec.register_implementation("counting", CountingFiles, clobber=True)
    with zipfile.ZipFile(study) as file:
        directory = file.start_dir

    def count():
        ranges, CountingFiles.ranges[:] = list(CountingFiles.ranges), []
        return sum(start <= directory < end for start, end in ranges)

    return count


def test_the_directory_of_a_study_is_read_once_by_the_client_and_once_by_the_worker(client, study, times_read):
    url = f"counting://{study}"
    request = client.request(url, None, {})
    assert times_read() == 1
    job = client.begin(request)
    assert len(job.result(LIMIT_S).trials) == 8
    assert times_read() == 1
    client.process(url)
    assert times_read() == 1


def test_a_study_replaced_by_a_broken_file_has_changed(client, study, tmp_path):
    path = tmp_path / "study.zip"
    path.write_bytes(study.read_bytes())
    request = client.request(path, None, {})
    path.write_bytes(b"PK and nothing of a ZIP")
    error = client.begin(request).exception(LIMIT_S)
    assert isinstance(error, ak.BadArchiveError)
    assert "has changed since it was submitted" in str(error)


def test_a_broken_file_that_did_not_change_is_not_said_to_have_changed(client, tmp_path):
    path = tmp_path / "bad.zip"
    path.write_bytes(b"PK and nothing of a ZIP")
    assert "is not a readable ZIP" in str(client.submit(path).exception(LIMIT_S))


def test_a_study_moved_after_submission_names_the_host_that_looked(client, study, tmp_path):
    path = tmp_path / "study.zip"
    path.write_bytes(study.read_bytes())
    request = client.request(path, None, {})
    path.unlink()
    error = client.begin(request).exception(LIMIT_S)
    assert isinstance(error, ak.SourceNotFoundError)
    assert socket.gethostname() in str(error)


def test_a_worker_reads_only_where_it_may(monkeypatch, client, study, tmp_path):
    monkeypatch.setenv("ANALYTICS_KIT_SOURCES", str(tmp_path))
    error = client.submit(study).exception(LIMIT_S)
    assert isinstance(error, ak.SourceNotFoundError)
    assert "ANALYTICS_KIT_SOURCES" in error.hint
    assert isinstance(client.submit(f"file://{study}").exception(LIMIT_S), ak.SourceNotFoundError)
    with pytest.raises(ak.SourceNotFoundError) as caught:
        worker_tasks._require_allowed("s3://KEY:SECRET@bucket/study.zip")
    assert "SECRET" not in str(caught.value)
    inside = tmp_path / "inside.zip"
    inside.write_bytes(study.read_bytes())
    assert client.submit(inside, refresh=True).exception(LIMIT_S) is None
    upload = client.receive("study.zip", study.stat().st_size)
    upload.write(0, study.read_bytes())
    source = upload.finish()
    monkeypatch.setenv("ANALYTICS_KIT_STORE", str(client.settings.store_url()))
    job = client.submit(source, refresh=True)
    assert job.exception(LIMIT_S) is None
    job.delete()
    assert not Path(source).exists()
    with pytest.raises(ak.SourceNotFoundError):  # in a store that only a job names
        worker_tasks._require_allowed(f"https://elsewhere/uploads/{'0' * 32}/study.zip")


def test_warming_leaves_nothing_to_compile(study, tmp_path):
    """Every kernel that a study needs was compiled by the warm-up, with the types that a study has."""
    code = f"""
import sys
from analytics_kit import worker_tasks as tasks
tasks.warm()
from numba.core.dispatcher import Dispatcher
kernels = [value for name, module in list(sys.modules.items()) if name.startswith("analytics_kit.study")
           for value in vars(module).values() if isinstance(value, Dispatcher)]
before = {{id(kernel): len(kernel.signatures) for kernel in kernels}}
import analytics_kit as ak
ak.connect("local", home={str(tmp_path)!r}).process({str(study)!r})
print(len(before), [k.py_func.__name__ for k in kernels if len(k.signatures) != before[id(k)]])
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    count, late = run.stdout.split(maxsplit=1)
    assert int(count) > 10
    assert late.strip() == "[]"


def test_warming_runs_no_polars():
    """polars run in a parent deadlocks the processes that are forked from it."""
    code = (
        "import polars; real = polars.LazyFrame.collect; "
        "polars.LazyFrame.collect = polars.DataFrame.__init__ = polars.Series.__init__ = None; "
        "from analytics_kit import worker_tasks; worker_tasks.warm(); print('warm')"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (run.stdout.strip(), run.stderr) == ("warm", "")


class TestPlacesThatAJobNames:
    """Whoever can write to Redis can put anything into a job; a worker reads and writes its own places only."""

    @pytest.fixture
    def as_worker(self, tmp_path, monkeypatch):
        """as_worker(**settings) → make this process take itself for a worker with these settings."""

        def make(**settings):
            monkeypatch.setattr(worker_tasks, "_settings", Settings.of(home=tmp_path / "home", **settings))

        return make

    def context(self, client, study, job_id="job-1", **changes):
        arguments = client.request(study, None, {}).arguments | changes
        return SimpleNamespace(job_id=job_id, arguments=arguments, step="begin", attempt=1)

    @pytest.mark.parametrize("elsewhere", ["/data/elsewhere", "memory://elsewhere", "s3://theirs/store", "", None, 7])
    def test_store_that_is_not_the_workers_is_left_to_others(self, client, study, as_worker, elsewhere):
        as_worker()
        with pytest.raises(CannotRunHere, match=r"is not that of this worker.*ANALYTICS_KIT_STORE"):
            worker_tasks.process_study(self.context(client, study, store=elsewhere))
        with pytest.raises(CannotRunHere):
            worker_tasks.discard({"store": elsewhere, "result_key": "0" * 64}, "job-1", None)

    def test_store_may_be_written_in_several_ways(self, client, study, as_worker, tmp_path):
        as_worker()
        (tmp_path / "link").symlink_to(tmp_path / "home")
        for same in (f"{tmp_path}/home/store/", f"file://{tmp_path}/home/store", f"{tmp_path}/link/../home/./store"):
            assert worker_tasks._checked_store(self.context(client, study, store=same)).name.endswith("home/store")

    def test_stores_that_the_settings_list_are_used(self, client, study, as_worker, tmp_path):
        as_worker(stores=(str(tmp_path / "second"), "memory://third"))
        for listed in (tmp_path / "second", "memory://third/"):
            context = self.context(client, study, store=str(listed), store_id=None)
            assert worker_tasks._checked_store(context).name

    @pytest.mark.parametrize("key", ["..", "../../etc", "/etc", "a/b", "", None, 7, "x" * 200, "a\n", "."])
    def test_result_key_is_a_plain_name(self, client, study, as_worker, tmp_path, key):
        as_worker()
        victim = tmp_path / "home" / "store" / "results" / "victim"
        victim.mkdir(parents=True)
        with pytest.raises(ak.JobFailedError, match="plain name"):
            worker_tasks.process_study(self.context(client, study, result_key=key))
        with pytest.raises(ak.JobFailedError, match="plain name"):
            worker_tasks.discard({"store": str(tmp_path / "home" / "store"), "result_key": key}, "victim", None)
        assert victim.exists()

    @pytest.mark.parametrize("job_id", ["..", "../victim", "a/b", ""])
    def test_id_of_a_job_is_a_plain_name(self, client, study, as_worker, job_id):
        as_worker()
        with pytest.raises(ak.JobFailedError, match="plain name"):
            worker_tasks.process_study(self.context(client, study, job_id=job_id))

    @pytest.mark.parametrize("folder", ["results", "uploads/x", "..", "results/other/job-1", ""])
    def test_cleanup_removes_nothing_outside_the_folder_of_its_job(self, client, as_worker, tmp_path, folder):
        as_worker()
        store = Store(str(tmp_path / "home" / "store"))
        prefix = f"{folder}/begin-1"
        for path in (f"{folder}/begin-1/a", f"{folder}/begin-2/b"):
            if ".." not in path and folder:
                with store.create(path) as file:
                    file.write(b"x")
        arguments = {"store": str(tmp_path / "home" / "store"), "result_key": "0" * 64}
        worker_tasks.discard(arguments, "job-1", {"folder": folder, "prefix": prefix})
        if ".." not in folder and folder:
            assert (tmp_path / "home" / "store" / folder / "begin-2" / "b").exists()

    @pytest.mark.parametrize("source", [None, 7, ["/etc"], {}])
    def test_study_is_named_by_text(self, client, study, as_worker, source):
        as_worker()
        with pytest.raises(ak.JobFailedError, match="names no study"):
            worker_tasks.process_study(self.context(client, study, source=source))

    def test_study_outside_the_listed_folders_is_not_read(self, client, study, as_worker, tmp_path):
        as_worker(sources=(tmp_path / "data",))
        with pytest.raises(CannotRunHere, match="not below a folder that this worker may read"):
            worker_tasks.process_study(self.context(client, study))
