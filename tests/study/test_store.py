"""Does a reader of the store see all of a result or nothing?"""

import json
import os
import subprocess
import sys

import pytest
from making import folder, mouse

from analytics_kit.errors import ResultExpiredError, StoreError
from analytics_kit.model import Options
from analytics_kit.study import pipeline
from analytics_kit.study.result import StudyResult
from analytics_kit.study.store import MANIFEST, Store

STUDY = {f"{folder()}/Mouse Movement.csv": mouse((0.1, 1, 2), (0.2, 3, 4))}


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path / "store"))


def write(store, path, text=b"x"):
    with store.create(path) as file:
        file.write(text)


def test_what_was_written_is_read(store):
    write(store, "a/b/c.bin", b"\0\xff")
    with store.open("a/b/c.bin") as file:
        assert file.read() == b"\0\xff"


def test_what_is_not_there(store):
    with pytest.raises(FileNotFoundError), store.open("a/b"):
        pass
    assert store.manifest("a") is None
    assert store.manifest("") is None


def test_commit_makes_the_manifest_at_once(store, tmp_path):
    store.commit("r", {"version": 1, "name": "ä\U0001f600"})
    assert store.manifest("r") == {"version": 1, "name": "ä\U0001f600"}
    assert [path.name for path in (tmp_path / "store" / "r").iterdir()] == [MANIFEST]


def test_a_later_commit_replaces(store):
    store.commit("", {"n": 1})
    store.commit("", {"n": 2})
    assert store.manifest("") == {"n": 2}


def test_a_commit_that_fails_leaves_the_earlier_manifest(store, tmp_path, monkeypatch):
    store.commit("r", {"n": 1})
    monkeypatch.setattr(os, "fsync", lambda fd: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(StoreError, match="No space left on device"):
        store.commit("r", {"n": 2})
    assert store.manifest("r") == {"n": 1}


def test_manifests_are_strict_json(store):
    with pytest.raises(ValueError, match="not JSON compliant"):
        store.commit("r", {"n": float("nan")})
    assert store.manifest("r") is None


def test_delete_takes_all_and_the_manifest_first(store, tmp_path, monkeypatch):
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


def test_check(store, tmp_path):
    store.check()
    assert list((tmp_path / "store").iterdir()) == []


@pytest.mark.parametrize("verb", ["check", "create", "commit"])
def test_store_below_a_file(tmp_path, verb):
    (tmp_path / "file").write_text("")
    store = Store(str(tmp_path / "file" / "store"))
    with pytest.raises(StoreError, match="can't be used") as caught:
        {"check": store.check, "create": lambda: write(store, "a"), "commit": lambda: store.commit("r", {})}[verb]()
    assert caught.value.hint


def test_url_that_is_no_store():
    with pytest.raises(StoreError, match="nosuch://x is no place for a store"):
        Store("nosuch://x")


def test_other_file_systems(studies):
    store = Store("memory://kit-test-store")
    pipeline.run(studies.zip(STUDY), Options(), store, "r")
    assert StudyResult.open(store, "r").events("mouse_movement").x_px.tolist() == [1, 3]
    store.delete("r")
    with pytest.raises(ResultExpiredError):
        StudyResult.open(store, "r")


# --- a whole result ---------------------------------------------------------------------------------------------


def test_the_manifest_is_written_last(studies, store, monkeypatch):
    written = []
    create = Store.create
    monkeypatch.setattr(Store, "create", lambda self, path: written.append(path) or create(self, path))
    pipeline.run(studies.zip(STUDY), Options(), store, "r")
    written = [path for path in written if not path.startswith(".probe")]
    assert written[0] == "r/events/mouse_movement-00000.parquet"
    assert set(written[1:-1]) == {f"r/{name}.parquet" for name in ("trials", "issues", "members", "surveys")}
    assert written[-1] == f"r/{MANIFEST}"


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, SystemExit])
def test_nothing_stays_when_the_commit_is_prevented(studies, store, tmp_path, error):
    def prevent():
        assert len(list((tmp_path / "store" / "r").rglob("*.parquet"))) == 5
        with pytest.raises(ResultExpiredError):
            StudyResult.open(store, "r")
        raise error

    with pytest.raises(error):
        pipeline.run(studies.zip(STUDY), Options(), store, "r", before_commit=prevent)
    assert not (tmp_path / "store" / "r").exists()


def test_nothing_stays_when_a_shard_fails(studies, store, tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline, "merge", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        pipeline.run(studies.zip(STUDY), Options(), store, "r")
    assert not (tmp_path / "store" / "r").exists()


def test_a_process_that_dies_before_the_commit_leaves_no_result(studies, store, tmp_path):
    code = (
        "import os, sys\n"
        "from analytics_kit.model import Options\n"
        "from analytics_kit.study import pipeline\n"
        "from analytics_kit.study.store import Store\n"
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


@pytest.mark.parametrize("threads", [1, 2])
def test_a_report_that_raises_ends_the_work(studies, store, tmp_path, threads, monkeypatch):
    monkeypatch.setattr(pipeline, "SMALL_BYTES", 0)
    members = {f"{folder(trial=k)}/Mouse Movement.csv": mouse((0.1, 1, 1)) for k in range(40)}

    def report(progress):
        if progress.phase == "processing":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pipeline.run(studies.zip(members), Options(), store, "r", report=report, shard_bytes=1, threads=threads)
    assert not (tmp_path / "store" / "r").exists()


def test_provenance(studies, store):
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
