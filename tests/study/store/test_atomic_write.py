"""Files appear whole and synced, or not at all; errors of writing name the location."""

import errno
import os
import random
import stat
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFile, MemoryFileSystem

from analytics_kit.errors import JobCancelledError, StoreError
from analytics_kit.options import Options
from analytics_kit.study.pipeline import run as pipeline
from analytics_kit.study.store import atomic_write
from analytics_kit.study.store.atomic_write import store_errors
from analytics_kit.study.store.paths import MANIFEST
from analytics_kit.study.store.store import Store
from tests.study.make_study import folder, mouse

STUDY = {f"{folder()}/Mouse Movement.csv": mouse((0.1, 1, 2), (0.2, 3, 4))}


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path / "store"))


def write(store, path, text=b"x"):
    with store.create(path) as file:
        file.write(text)


def fail(file, error):
    file.write(b"new" * 100_000)
    raise error


def names(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_file_appears_when_its_block_ends(store, tmp_path):
    with store.create("r/a") as file:
        file.write(b"x" * 100_000)
        file.flush()
        with pytest.raises(FileNotFoundError), store.open("r/a"):
            pass
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, OSError])
def test_failing_block_leaves_the_earlier_file(store, tmp_path, error):
    write(store, "r/a", b"old")
    with pytest.raises(error), store.create("r/a") as file:
        fail(file, error())
    with store.open("r/a") as file:
        assert file.read() == b"old"
    assert names(tmp_path) == ["a"]


def test_commit_syncs_contents_then_the_manifest_then_the_folder(store, tmp_path, monkeypatch):
    done = []
    sync, replace = os.fsync, Path.replace

    def synced(descriptor):
        done.append(os.fstat(descriptor).st_ino)
        sync(descriptor)

    def replaced(self, target):
        done.append("replace")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", replaced)
    for name in "ab":
        write(store, f"results/k/j/{name}")
    store.commit("results/k/j", {})
    folder = tmp_path / "store" / "results" / "k" / "j"
    assert done[:2] == ["replace"] * 2, "they are synced all together"
    assert set(done[2:4]) == {(folder / name).stat().st_ino for name in "ab"}
    assert done[4:] == [(folder / MANIFEST).stat().st_ino, "replace", folder.stat().st_ino]
    done.clear()
    store.commit("results/k/j", {})
    assert len(done) == 3, "what is safe is not synced again"


def test_commit_ignores_a_folder_that_can_not_be_synced(store, monkeypatch):
    sync = os.fsync

    def refused(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", refused)
    store.commit("r", {"n": 1})
    assert store.manifest("r") == {"n": 1}


def test_folder_removed_by_a_sweep_is_made_again(store, monkeypatch):
    mkdir, taken = Path.mkdir, []

    def and_gone(self, *args, **how):
        mkdir(self, *args, **how)
        if self.name == "j" and len(taken) < 2:
            self.rmdir()
            taken.append(self)

    monkeypatch.setattr(Path, "mkdir", and_gone)
    write(store, "k/j/a")
    assert len(taken) == 2


LIMITED = """
import resource, sys
from analytics_kit.errors import StoreError
from analytics_kit.options import Options
from analytics_kit.study.pipeline import run as pipeline
from analytics_kit.study.store.store import Store
store = Store(sys.argv[2])
pipeline.run(sys.argv[1], Options(), store, "first")
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
try:
    pipeline.run(sys.argv[1], Options(), store, "r")
except StoreError as error:
    print(error.message)
"""


@pytest.mark.parametrize("limit", [100, 5_000, 50_000])
def test_file_size_limit_is_a_store_error(studies, tmp_path, limit):
    """The kernel refuses to write more, at the first byte, in the middle, or when what is buffered is written."""
    pixels = random.Random(0)
    rows = [(i / 100, pixels.randrange(1920), pixels.randrange(1080)) for i in range(30_000)]
    source = studies.zip({f"{folder()}/Mouse Movement.csv": mouse(*rows)})
    store = tmp_path / "store"
    run = subprocess.run(
        [sys.executable, "-c", LIMITED, source, str(store), str(limit)], capture_output=True, text=True, check=True
    )
    assert run.stdout.startswith(f"The store can't be used at {store}/r/"), run.stderr
    assert "File too large" in run.stdout
    assert not (store / "r").exists()
    assert (store / "first" / MANIFEST).exists()


class FullFile(MemoryFile):
    """A file of a store that is full."""

    def write(self, data):
        if self.fs.fails_at == "write":
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)

    def close(self):
        if self.fs.fails_at == "close":
            raise OSError(errno.ENOSPC, "No space left on device")


class FullFileSystem(MemoryFileSystem):
    """A store that has no room for Parquet."""

    protocol = "full"
    store, pseudo_dirs = {}, [""]
    fails_at = "write"

    @classmethod
    def _strip_protocol(cls, path):
        return MemoryFileSystem._strip_protocol(path.replace("full://", "memory://"))

    pipe_file = fsspec.AbstractFileSystem.pipe_file

    def _open(self, path, mode="rb", **how):
        if "w" in mode and path.endswith(".parquet"):
            return FullFile(self, path, b"")
        return super()._open(path, mode, **how)


@pytest.mark.parametrize("fails_at", ["write", "close"])
@pytest.mark.parametrize("held_bytes", [0, 1 << 20])
def test_full_store_is_a_store_error(studies, monkeypatch, fails_at, held_bytes):
    monkeypatch.setattr(atomic_write, "WHOLE_OBJECT_BYTES", held_bytes)
    fsspec.register_implementation("full", FullFileSystem, clobber=True)
    monkeypatch.setattr(FullFileSystem, "fails_at", fails_at)
    store = Store(f"full://{fails_at}")
    with pytest.raises(StoreError, match=rf"full://{fails_at}/r/events/.*parquet: No space left on device") as caught:
        pipeline.run(studies.zip(STUDY), Options(), store, "r")
    assert caught.value.hint
    assert store.files("") == []


@pytest.mark.parametrize("held_bytes", [0, 1 << 30])
def test_failing_block_removes_the_file_from_an_object_store(monkeypatch, held_bytes):
    monkeypatch.setattr(atomic_write, "WHOLE_OBJECT_BYTES", held_bytes)
    store = Store("memory://kit-test-writing")
    with pytest.raises(ValueError, match="enough"), store.create("a") as file:
        fail(file, ValueError("enough"))
    assert store.files("") == []


def test_source_error_in_the_block_passes_unchanged(store):
    with pytest.raises(OSError, match="the other disk") as caught, store.create("a") as file:
        fail(file, OSError(errno.EIO, "the other disk"))
    assert not isinstance(caught.value, StoreError)


def test_save_names_the_location_that_fails(studies, process, tmp_path, monkeypatch):
    result = process(STUDY)

    class Broken:
        def read(self, size):
            raise OSError(errno.EIO, "Input/output error")

    @contextmanager
    def failing(self, path):
        with store_errors(f"{self.name}/{path}"):
            yield Broken()

    monkeypatch.setattr(Store, "open", failing)
    with pytest.raises(StoreError, match=f"can't be used at {tmp_path}/store/r1/"):
        result.save(tmp_path / "kept")


def test_first_error_is_raised_though_nothing_can_be_removed(studies, store, monkeypatch):
    def cancelled():
        raise JobCancelledError("enough")

    monkeypatch.setattr(Store, "delete", lambda self, prefix: (_ for _ in ()).throw(StoreError("it is away")))
    with pytest.raises(JobCancelledError, match="enough"):
        pipeline.run(studies.zip(STUDY), Options(), store, "r", before_commit=cancelled)
