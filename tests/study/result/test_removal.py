"""Removing a participant from a stored result: nothing of them is left, and nothing else changes."""

import random

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import analytics_kit as ak
from analytics_kit.errors import ResultExpiredError, StoreError
from analytics_kit.model import KINDS
from analytics_kit.options import Options
from analytics_kit.study.pipeline import run as pipeline
from analytics_kit.study.pipeline.attempts import remove_unreferenced
from analytics_kit.study.result.removal import Removed, remove_participant
from analytics_kit.study.result.result import StudyResult
from analytics_kit.study.store.store import Store
from tests.fuzz.cases import check
from tests.fuzz.intact import FORMATS
from tests.study.make_study import folder, mouse, typed, zip_bytes

NAMES_OF = {"described_by_columns": "anna", "described_by_path": "anna", "balabit": "user7", "keystrokes": "3"}
"""The participant to remove in studies of each format; 1 where it is not named, 7 on the platform's server."""


@pytest.fixture
def stored(tmp_path):
    """stored(members, **options) → store and prefix of the result of a study."""
    store = Store(str(tmp_path / "store"))

    def process(members, *, suffix=".zip", shard_bytes=2000, prefix="r", **options):
        path = tmp_path / f"study{suffix}"
        path.write_bytes(members[0][1] if suffix == ".csv" else zip_bytes(members))
        pipeline.run(str(path), Options.of(**options), store, prefix, shard_bytes=shard_bytes)
        return store, prefix

    return process


def bytes_of(store, prefix):
    """All files of a result, inflated where they are Parquet, with their paths."""
    found = []
    for file in store.files(prefix):
        found.append(file.path.encode())
        with store.open(file.path) as opened:
            if file.path.endswith(".parquet"):
                parquet = pq.ParquetFile(opened)
                found.append(str(parquet.read(columns=None).to_pydict()).encode())
                opened.seek(0)
            found.append(opened.read())
    return b"\n".join(found)


def without(table, name):
    return table[table["participant"] != name].reset_index(drop=True)


@pytest.mark.parametrize("shard_bytes", [1000, 64 << 20])
@pytest.mark.parametrize("make", sorted(FORMATS))
def test_all_but_the_participant_stays_as_it_was(stored, make, shard_bytes):
    study = FORMATS[make](random.Random(5))
    store, prefix = stored(study.members, suffix=study.suffix, shard_bytes=shard_bytes, **study.options)
    name = NAMES_OF.get(make, "7" if make == "fulcrum_of_server" else "1")
    before = StudyResult.open(store, prefix)
    trials, surveys = before.trials, before.surveys
    events = {kind: before.events(kind) for kind in KINDS}
    assert (trials["participant"] == name).any()
    removed = remove_participant(store, prefix, prefix, name)
    after = StudyResult.open(store, prefix)
    pd.testing.assert_frame_equal(after.trials, without(trials, name))
    pd.testing.assert_frame_equal(after.surveys, without(surveys, name))
    for kind in KINDS:
        pd.testing.assert_frame_equal(after.events(kind), without(events[kind], name))
    assert removed.trials == (trials["participant"] == name).sum()
    assert removed.events == sum(map(len, events.values())) - sum(len(after.events(kind)) for kind in KINDS)
    assert check(after, with_views=True) == []
    assert after.provenance["forgotten"] == {"participants": 1, "trials": removed.trials, "events": removed.events}
    assert not remove_participant(store, prefix, prefix, name)


@pytest.mark.parametrize("make", sorted(set(FORMATS) - {"mousetracking", "described_by_columns"}))
def test_no_file_of_the_participant_is_named_any_more(stored, make):
    study = FORMATS[make](random.Random(5))
    store, prefix = stored(study.members, **study.options)
    name = NAMES_OF.get(make, "7" if make == "fulcrum_of_server" else "1")
    remove_participant(store, prefix, prefix, name)
    left = {*StudyResult.open(store, prefix).members["member"], *StudyResult.open(store, prefix).issues["member"]}
    own = [f"{name}_participant_session", f"{name}_keystrokes", f"{name}/"]
    assert not [member for member in left if member.startswith(tuple(own)) or f"/{name}/" in member]


def test_counts_of_a_file_of_several_participants_are_those_of_the_others(stored):
    study = FORMATS["mousetracking"](random.Random(1))
    lines = study.members[0][1].decode().split("\n")
    bad = [*lines, "2,A,id1,never,1,1"]
    store, prefix = stored([("mt.csv", "\n".join(bad).encode())], format="mousetracking")
    remove_participant(store, prefix, prefix, "1")
    (member,) = StudyResult.open(store, prefix).members.itertuples()
    rows = sum(not line.startswith("1,") for line in lines[1:])
    assert (member.rows_in, member.rows_kept) == (rows + 1, rows)


def test_several_files_of_several_participants_each_lose_their_own_rows(stored):
    header = "subject_nr,mt_id,timestamps,xpos,ypos"
    first = [f"{who},id1,{t},1,1" for who in "123" for t in range(3)]
    second = [f"{who},id2,{t},1,1" for who in "12" for t in range(5)]
    members = [(name, "\n".join([header, *rows]).encode()) for name, rows in (("b10.csv", first), ("b9.csv", second))]
    store, prefix = stored(members, format="mousetracking")
    remove_participant(store, prefix, prefix, "2")
    left = StudyResult.open(store, prefix).members.set_index("member")["rows_kept"]
    assert left.to_dict() == {"b9.csv": 5, "b10.csv": 6}


def test_what_was_typed_is_in_no_byte_of_the_store(stored):
    secret = "'\\u2603'"
    members = [
        (f"{folder(p, trial=t)}/Keyboard Inputs.csv", typed((0.1, "'a'"), (0.2, key)).encode())
        for p, key in ((1, "'b'"), (2, "'Geheim'"), (3, secret))
        for t in (1, 2)
    ]
    members.append(("2_participant_session/Mood_survey/mood.csv", b"how\nGeheim2\n"))
    store, prefix = stored(members, shard_bytes=64 << 20, keys="full")
    assert b"Geheim" in bytes_of(store, prefix)
    remove_participant(store, prefix, prefix, "2")
    left = bytes_of(store, prefix)
    assert b"Geheim" not in left
    assert b"2_participant" not in left
    assert list(StudyResult.open(store, prefix).events("keyboard", participant=3)["key"])


def test_the_only_participant_leaves_an_empty_result(stored):
    store, prefix = stored([(f"{folder(1)}/Mouse Movement.csv", mouse((0, 1, 1), (1, 2, 2)).encode())])
    remove_participant(store, prefix, prefix, "1")
    result = StudyResult.open(store, prefix)
    assert (len(result.trials), len(result.participants), result.kinds) == (0, 0, [])
    assert "0 participants" in repr(result)
    assert result._repr_html_()
    assert result.quality().empty
    assert result.describe().empty
    assert check(result, with_views=True) == []


def test_members_that_were_not_chosen_and_the_choice_are_forgotten_too(stored):
    members = [(f"{folder(p)}/Mouse Movement.csv", mouse((0, 1, 1), (1, 2, 2)).encode()) for p in (1, 2, 3)]
    store, prefix = stored(members, participants=["1", "3"])
    assert remove_participant(store, prefix, prefix, "2").members == 1
    assert remove_participant(store, prefix, prefix, "3").trials == 1
    result = StudyResult.open(store, prefix)
    assert list(result.members["member"]) == [members[0][0]]
    assert result.provenance["options"]["participants"] == ["1"]
    assert result.provenance["forgotten"]["participants"] == 2
    assert result.summary["raw_bytes"] == len(members[0][1])


def test_an_opened_result_says_that_it_was_replaced(stored):
    study = FORMATS["fulcrum"](random.Random(5))
    store, prefix = stored(study.members)
    opened = StudyResult.open(store, prefix)
    remove_participant(store, prefix, prefix, "1")
    with pytest.raises(ResultExpiredError, match="replaced") as caught:
        opened.trials  # noqa: B018
    assert "job.result()" in caught.value.hint


def test_a_result_with_a_missing_file_is_left_as_it_is(stored):
    study = FORMATS["fulcrum"](random.Random(5))
    store, prefix = stored(study.members)
    manifest = store.manifest(prefix)
    store.remove(manifest["tables"]["surveys"])
    with pytest.raises(StoreError, match="missing"):
        remove_participant(store, prefix, prefix, "1")
    assert store.manifest(prefix) == manifest


@pytest.mark.parametrize("schema_version", [2, 99])
def test_a_result_of_another_schema_is_refused(stored, schema_version):
    study = FORMATS["fulcrum"](random.Random(5))
    store, prefix = stored(study.members)
    store.commit(prefix, store.manifest(prefix) | {"schema_version": schema_version})
    with pytest.raises(StoreError, match=str(schema_version)):
        remove_participant(store, prefix, prefix, "1")


@pytest.mark.parametrize("make", sorted(FORMATS))
def test_a_result_of_an_earlier_version_has_no_participants_of_members(stored, make):
    study = FORMATS[make](random.Random(5))
    store, prefix = stored(study.members, **study.options)
    path = store.manifest(prefix)["tables"]["members"]
    with store.open(path) as file:
        earlier = pq.read_table(file).drop_columns("participant")
    with store.create(path) as file:
        pq.write_table(earlier, file)
    name = NAMES_OF.get(make, "7" if make == "fulcrum_of_server" else "1")
    assert remove_participant(store, prefix, prefix, name).trials
    assert check(StudyResult.open(store, prefix), with_views=False) == []


def test_a_process_that_dies_before_the_manifest_leaves_the_old_result_and_the_next_call_removes_its_files(
    stored, monkeypatch
):
    study = FORMATS["fulcrum"](random.Random(5))
    store, prefix = stored(study.members)
    trials = StudyResult.open(store, prefix).trials

    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Store, "commit", die)
        with pytest.raises(KeyboardInterrupt):
            remove_participant(store, prefix, prefix, "1")
    pd.testing.assert_frame_equal(StudyResult.open(store, prefix).trials, trials)
    remove_participant(store, prefix, prefix, "1")
    manifest = store.manifest(prefix)
    named = {*manifest["tables"].values(), *(part["path"] for part in manifest["parts"]), f"{prefix}/manifest.json"}
    assert {file.path for file in store.files(prefix)} == named


def test_a_process_that_dies_after_the_manifest_is_finished_by_the_next_call(stored, monkeypatch):
    study = FORMATS["fulcrum"](random.Random(5))
    store, prefix = stored(study.members)
    with monkeypatch.context() as patch:
        patch.setattr("analytics_kit.study.result.removal.remove_unreferenced", lambda *_: None)
        assert remove_participant(store, prefix, prefix, "1")
    assert remove_participant(store, prefix, prefix, "1") == Removed()
    assert len([file for file in store.files(prefix) if file.path.endswith("trials.parquet")]) == 1


def test_a_clean_up_that_goes_by_the_manifest_before_leaves_the_new_files(stored, monkeypatch):
    study = FORMATS["fulcrum"](random.Random(5))
    store, prefix = stored(study.members)
    before = store.manifest(prefix)
    remove_participant(store, prefix, prefix, "1")
    with monkeypatch.context() as patch:
        patch.setattr(Store, "manifest", lambda *_: before)
        remove_unreferenced(store, prefix, prefix)
    assert check(StudyResult.open(store, prefix), with_views=True) == []


def test_files_of_earlier_revisions_go_unless_they_are_still_used(stored):
    study = FORMATS["fulcrum"](random.Random(6))
    store, prefix = stored(study.members)
    names = list(StudyResult.open(store, prefix).participants["participant"])
    for name in names[:-1]:
        remove_participant(store, prefix, prefix, name)
    manifest = store.manifest(prefix)
    named = {*manifest["tables"].values(), *(part["path"] for part in manifest["parts"]), f"{prefix}/manifest.json"}
    assert {file.path for file in store.files(prefix)} == named
    assert manifest["revision"] == len(names) - 1 >= 1


def test_a_result_that_is_replaced_meanwhile_is_not_overwritten(stored, monkeypatch):
    study = FORMATS["fulcrum"](random.Random(5))
    store, prefix = stored(study.members)
    other = store.manifest(prefix) | {"revision": 7}
    write = Store.create

    def replace_first(self, path, **options):
        if path.endswith("surveys.parquet"):
            monkeypatch.setattr(Store, "create", write)
            store.commit(prefix, other)
        return write(self, path, **options)

    monkeypatch.setattr(Store, "create", replace_first)
    with pytest.raises(StoreError, match="meanwhile"):
        remove_participant(store, prefix, prefix, "1")
    assert store.manifest(prefix) == other


def test_a_result_in_an_object_store_is_replaced_too(tmp_path):
    study = FORMATS["fulcrum"](random.Random(5))
    path = tmp_path / "study.zip"
    path.write_bytes(zip_bytes(study.members))
    store = Store("memory://removal")
    pipeline.run(str(path), Options.of(), store, "r", shard_bytes=2000)
    remove_participant(store, "r", "r", "1")
    result = StudyResult.open(store, "r")
    assert "1" not in set(result.trials["participant"])
    assert check(result, with_views=True) == []
    manifest = store.manifest("r")
    named = {*manifest["tables"].values(), *(part["path"] for part in manifest["parts"]), "r/manifest.json"}
    assert {file.path for file in store.files("r")} == named
    store.remove("")


def test_metrics_of_the_others_keep_every_bit(stored, tmp_path):
    path = ak.sample_study(tmp_path / "sample.zip", participants=3, trials=1)
    store = Store(str(tmp_path / "store"))
    pipeline.run(str(path), Options.of(), store, "r")
    before = StudyResult.open(store, "r").trials
    remove_participant(store, "r", "r", "2")
    after = StudyResult.open(store, "r").trials
    numbers = [name for name in before.columns if before[name].dtype == np.float64]
    kept = before[before["participant"] != "2"]
    assert kept[numbers].to_numpy().tobytes() == after[numbers].to_numpy().tobytes()
