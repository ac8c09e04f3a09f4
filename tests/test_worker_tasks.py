"""What workers call: they read only where they may, read a study once, and are warm before a job comes."""

import io
import socket
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import ClassVar

import fsspec
import pytest

import analytics_kit as ak
from analytics_kit import worker_tasks

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
