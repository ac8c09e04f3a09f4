"""A store shows whole results or nothing, whatever file system it is on."""

import errno
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from analytics_kit.errors import ResultExpiredError, StoreError
from analytics_kit.options import Options
from analytics_kit.settings import Settings
from analytics_kit.study.pipeline import run as pipeline
from analytics_kit.study.result.result import StudyResult
from analytics_kit.study.store.paths import MANIFEST, STORE_ID
from analytics_kit.study.store.store import Store
from tests.study.make_study import folder, mouse

STUDY = {f"{folder()}/Mouse Movement.csv": mouse((0.1, 1, 2), (0.2, 3, 4))}


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path / "store"))


def names(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def write(store, path, text=b"x"):
    with store.create(path) as file:
        file.write(text)


def test_open_reads_what_was_written(store):
    write(store, "a/b/c.bin", b"\0\xff")
    with store.open("a/b/c.bin") as file:
        assert file.read() == b"\0\xff"


def test_open_of_a_missing_file_raises(store):
    with pytest.raises(FileNotFoundError), store.open("a/b"):
        pass
    assert store.manifest("a") is None
    assert store.manifest("") is None


def test_commit_makes_the_manifest_readable(store, tmp_path):
    store.commit("r", {"version": 1, "name": "ä\U0001f600"})
    assert store.manifest("r") == {"version": 1, "name": "ä\U0001f600"}
    assert [path.name for path in (tmp_path / "store" / "r").iterdir()] == [MANIFEST]


def test_commit_replaces_an_earlier_manifest(store):
    store.commit("", {"n": 1})
    store.commit("", {"n": 2})
    assert store.manifest("") == {"n": 2}


def test_failing_commit_leaves_the_earlier_manifest(store, tmp_path, monkeypatch):
    store.commit("r", {"n": 1})
    monkeypatch.setattr(os, "fsync", lambda fd: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(StoreError, match="No space left on device"):
        store.commit("r", {"n": 2})
    assert store.manifest("r") == {"n": 1}


def test_manifests_are_strict_json(store):
    with pytest.raises(ValueError, match="not JSON compliant"):
        store.commit("r", {"n": float("nan")})
    assert store.manifest("r") is None


def test_delete_removes_all_and_the_manifest_first(store, tmp_path, monkeypatch):
    write(store, "r/events/a.parquet")
    store.commit("r", {})
    removed = []
    rm = store._fs.rm
    monkeypatch.setattr(store._fs, "rm", lambda path, **how: removed.append(path) or rm(path, **how))
    store.delete("r")
    assert [path.rpartition("/")[2] for path in removed] == [MANIFEST, "r"]
    assert not (tmp_path / "store" / "r").exists()
    store.delete("r")
    store.delete("never")


def test_check_leaves_nothing(store, tmp_path):
    store.check()
    assert list((tmp_path / "store").iterdir()) == []


@pytest.mark.parametrize("verb", ["check", "create", "commit"])
def test_store_below_a_file_raises_store_error(tmp_path, verb):
    (tmp_path / "file").write_text("")
    store = Store(str(tmp_path / "file" / "store"))
    with pytest.raises(StoreError, match="can't be used") as caught:
        {"check": store.check, "create": lambda: write(store, "a"), "commit": lambda: store.commit("r", {})}[verb]()
    assert caught.value.hint


def test_url_of_an_unknown_protocol_raises_store_error():
    with pytest.raises(StoreError, match="nosuch://x can't hold a store"):
        Store("nosuch://x")


def test_result_in_memory_is_read_and_deleted(studies):
    store = Store("memory://kit-test-store")
    pipeline.run(studies.zip(STUDY), Options(), store, "r")
    assert StudyResult.open(store, "r").events("mouse_movement").x_px.tolist() == [1, 3]
    store.delete("r")
    with pytest.raises(ResultExpiredError):
        StudyResult.open(store, "r")


def test_concurrent_deletes_agree(store, tmp_path, monkeypatch):
    write(store, "r/events/a")
    store.commit("r", {})
    rm = store._fs.rm

    def raced(path, **how):
        rm(path, **how)
        raise FileNotFoundError(path)

    monkeypatch.setattr(store._fs, "rm", raced)
    store.delete("r")
    assert names(tmp_path) == []


# --- who may read, and which store it is --------------------------------------------------------------------------


@pytest.fixture
def open_umask():
    """A umask that lets the group write."""
    before = os.umask(0o002)
    yield
    os.umask(before)


def mode(path):
    return path.stat().st_mode & 0o777


def test_default_store_is_readable_by_its_owner_only(studies, tmp_path, open_umask):
    store = Store.of(Settings.of(home=tmp_path / "home", store=None))
    pipeline.run(studies.zip(STUDY), Options(), store, "r")
    assert mode(tmp_path / "home") == 0o700
    assert mode(tmp_path / "home" / "store") == 0o700


def test_default_store_given_by_url_is_private_too(tmp_path, open_umask):
    home = tmp_path / "home"
    home.mkdir()
    write(Store.of(Settings.of(home=home, store=str(home / "store")), str(home / "store")), "a")
    assert mode(home / "store") == 0o700


def test_named_store_follows_the_umask(tmp_path, open_umask):
    settings = Settings.of(home=tmp_path / "home", store=str(tmp_path / "group" / "store"))
    write(Store.of(settings), "r/a")
    assert mode(tmp_path / "group" / "store") == 0o775
    assert mode(tmp_path / "group" / "store" / "r" / "a") == 0o664
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("url", [None, "memory://kit-test-id"])
def test_id_is_made_once(tmp_path, url):
    store = Store(url or str(tmp_path / "store"))
    assert store.id() is None
    made = store.id(create=True)
    assert len(made) == 32
    assert Store(url or str(tmp_path / "store")).id() == store.id(create=True) == made
    assert [file.path for file in store.files("")] == [STORE_ID]
    store.require(made)


def test_reading_the_id_makes_nothing(store, tmp_path):
    assert store.id() is None
    with pytest.raises(StoreError, match="on this host there is no store"):
        store.require("0" * 32)
    assert list(tmp_path.iterdir()) == []


def test_concurrent_processes_get_the_same_id(tmp_path):
    for i in range(20):
        with ThreadPoolExecutor(8) as pool:
            ids = set(pool.map(lambda _, i=i: Store(str(tmp_path / str(i))).id(create=True), range(8)))
        assert len(ids) == 1
        assert names(tmp_path / str(i)) == [STORE_ID]


def test_id_on_a_file_system_without_links(store, monkeypatch):
    monkeypatch.setattr(os, "link", lambda *args: (_ for _ in ()).throw(OSError(errno.EPERM, "no links")))
    assert store.id(create=True) == store.id()
    assert [file.path for file in store.files("")] == [STORE_ID]


def test_require_names_what_differs(store, tmp_path):
    store.id(create=True)
    with pytest.raises(StoreError, match=r"not the store that the job was submitted for.*another store") as caught:
        store.require(Store(str(tmp_path / "other")).id(create=True))
    assert str(tmp_path / "store") in caught.value.message
    assert "ANALYTICS_KIT_STORE" in caught.value.hint


# --- a whole result ---------------------------------------------------------------------------------------------


def test_run_writes_the_manifest_last(studies, store, monkeypatch):
    written = []
    create = Store._writer
    monkeypatch.setattr(
        Store, "_writer", lambda self, path, durable: written.append(path) or create(self, path, durable)
    )
    pipeline.run(studies.zip(STUDY), Options(), store, "r")
    written = [path for path in written if not path.startswith(".probe")]
    assert written[0] == "r/events/mouse_movement-00000.parquet"
    assert set(written[1:-1]) == {f"r/{name}.parquet" for name in ("trials", "issues", "members", "surveys")}
    assert written[-1] == f"r/{MANIFEST}"


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, SystemExit])
def test_run_leaves_nothing_when_the_commit_is_prevented(studies, store, tmp_path, error):
    def prevent():
        assert len(list((tmp_path / "store" / "r").rglob("*.parquet"))) == 5
        with pytest.raises(ResultExpiredError):
            StudyResult.open(store, "r")
        raise error

    with pytest.raises(error):
        pipeline.run(studies.zip(STUDY), Options(), store, "r", before_commit=prevent)
    assert not (tmp_path / "store" / "r").exists()


def test_run_leaves_nothing_when_a_shard_fails(studies, store, tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline, "merge", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        pipeline.run(studies.zip(STUDY), Options(), store, "r")
    assert not (tmp_path / "store" / "r").exists()


def test_process_that_dies_before_the_commit_leaves_no_result(studies, store, tmp_path):
    code = (
        "import os, sys\n"
        "from analytics_kit.options import Options\n"
        "from analytics_kit.study.pipeline import run as pipeline\n"
        "from analytics_kit.study.store.store import Store\n"
        "pipeline.run(sys.argv[1], Options(), Store(sys.argv[2]), 'r', before_commit=lambda: os._exit(9))\n"
    )
    died = subprocess.run([sys.executable, "-c", code, studies.zip(STUDY), str(tmp_path / "store")])
    assert died.returncode == 9
    assert (tmp_path / "store" / "r" / "trials.parquet").exists()
    with pytest.raises(ResultExpiredError):
        StudyResult.open(store, "r")


def test_progress_never_falls_and_ends_at_1(studies, store):
    seen = []
    members = {f"{folder(trial=k)}/Mouse Movement.csv": mouse(*[(i, i, i) for i in range(50)]) for k in range(40)}
    pipeline.run(studies.zip(members), Options(), store, "r", report=seen.append, shard_bytes=4000)
    fractions = [progress.fraction for progress in seen]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert max(p.fraction for p in seen if p.phase == "processing") <= 0.95
    assert list(dict.fromkeys(progress.phase for progress in seen)) == [
        "planning",
        "processing",
        "merging",
        "completed",
    ]
    raw = sum(map(len, members.values()))
    assert {progress.total for progress in seen[1:]} == {raw}
    assert max(progress.done for progress in seen) == raw
    for name in ("rows", "files"):
        counts = [getattr(progress, name) for progress in seen[1:]]
        assert counts == sorted(counts)
        assert len(set(counts)) > 3, "progress is reported on the way"
    assert [(progress.rows, progress.files) for progress in seen[-2:]] == [(40 * 50, 40)] * 2


@pytest.mark.parametrize("threads", [1, 2])
def test_report_that_raises_ends_the_work(studies, store, tmp_path, threads, monkeypatch):
    monkeypatch.setattr(pipeline, "SMALL_BYTES", 0)
    members = {f"{folder(trial=k)}/Mouse Movement.csv": mouse((0.1, 1, 1)) for k in range(40)}

    def report(progress):
        if progress.phase == "processing":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pipeline.run(studies.zip(members), Options(), store, "r", report=report, shard_bytes=1, threads=threads)
    assert not (tmp_path / "store" / "r").exists()


def test_provenance_has_source_options_and_versions(studies, store):
    source = studies.zip(STUDY)
    pipeline.run(source, Options.of(idle_gap_s=0.3), store, "r")
    provenance = StudyResult.open(store, "r").provenance
    assert provenance["source"] == source
    assert provenance["source_bytes"] == os.path.getsize(source)  # noqa: PTH202
    assert provenance["options"] == Options.of(idle_gap_s=0.3).to_json()
    assert Options.of(**provenance["options"]) == Options.of(idle_gap_s=0.3)
    assert {"numpy", "polars", "pyarrow", "pandas", "numba", "analytics_kit"} == set(provenance["versions"])
    assert provenance["created_at"].endswith("+00:00")
    json.dumps(provenance, allow_nan=False)
