"""Wherever storage fails while a study is read, the result is whole, or there is none and the error has a name."""

import io
import os
from pathlib import Path

import pytest

from analytics_kit.errors import SourceNotFoundError, StoreError
from analytics_kit.study import storage_errors
from analytics_kit.study.archive import remote_range
from analytics_kit.study.archive import source as study_source
from analytics_kit.study.store.store import Store
from tests.range_server import RangeServer
from tests.study.faulty_files import disk_error, faulty
from tests.study.make_study import folder, mouse, typed, zip_bytes
from tests.study.step_queue import TABLES

TRIAL = {"Mouse Movement.csv": mouse((0.1, 1, 2), (0.2, 3, 4)), "Keyboard Inputs.csv": typed((0.1, "a"))}
STUDY = {
    **{f"{folder(1)}/{name}": text for name, text in TRIAL.items()},
    "1_participant_session/After_survey/answers.csv": "How?,Why?\nwell,so\n",
    "2_participant_session.zip": zip_bytes({f"Search_Easy_trial_1/{name}": text for name, text in TRIAL.items()}),
    "3_participant_session_id/45_trial_id/manifest.csv": "id,kind,task\n7,mouse_movement,Search\n",
    "3_participant_session_id/45_trial_id/7.csv": TRIAL["Mouse Movement.csv"],
    "3_participant_session_id/45_trial_id/8.csv": TRIAL["Keyboard Inputs.csv"],
}
"""With what is read besides logs: a survey, a nested ZIP, a manifest, and a file that is looked into for its kind."""


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    """Retry for a moment; read members one by one, so that each read can fail alone."""
    monkeypatch.setattr(storage_errors, "FIRST_DELAY_S", 0.0005)
    monkeypatch.setattr(storage_errors, "PATIENCE_S", 0.02)
    monkeypatch.setattr(storage_errors, "BRIEF_PATIENCE_S", 0.01)
    monkeypatch.setattr(study_source, "SMALL_REMOTE_BYTES", 0)
    monkeypatch.setattr(remote_range, "MAX_GAP_BYTES", -1 << 20)


@pytest.fixture
def expected(studies):
    """The result of the study on a disk that works."""
    return studies.process(STUDY)


def stored(studies):
    """The files of results in the store."""
    return {file.path for file in Store(str(studies.root / "store")).files("")}


@pytest.fixture
def source(studies, expected):
    """The same study behind `faulty://`."""
    return f"faulty://{studies.zip(STUDY)}"


def same(result, expected):
    """Return whether two results have the same tables."""
    return all(getattr(result, name).equals(getattr(expected, name)) for name in TABLES)


def reads_of(studies, source):
    with faulty() as files:
        studies.process(source)
        return files.reads


def test_each_read_may_fail_for_a_moment_without_a_trace(studies, source, expected):
    for number in range(reads_of(studies, source)):

        def fault(count, failing=number):
            if count == failing:
                raise disk_error()

        with faulty(fault):
            result = studies.process(source)
        assert same(result, expected), number


def test_each_read_that_fails_for_good_fails_the_study_by_name_and_keeps_nothing(studies, source):
    count = reads_of(studies, source)
    assert count >= 10  # directory, peek, manifest, nested ZIP, logs, survey
    before = stored(studies)
    for number in range(count):

        def fault(count, failing=number):
            if count >= failing:
                raise disk_error()

        with faulty(fault), pytest.raises(StoreError, match=r"study\.zip can't be read.*: Input/output error"):
            studies.process(source, on_error="skip")
        assert stored(studies) == before


FAULTS = (403, 429, 500, 503, "cut", "reset")


def test_each_request_that_fails_in_any_way_fails_the_study_by_name_and_keeps_nothing(studies, expected):
    with RangeServer() as server:
        url = server.put("study.zip", Path(studies.zip(STUDY)).read_bytes())
        assert same(studies.process(url), expected)
        count, before = len(server.requests), stored(studies)
        for number in range(count):
            server.requests.clear()
            wrong = FAULTS[number % len(FAULTS)]
            server.fault = lambda _, failing=number, how=wrong: how if len(server.requests) > failing else None
            with pytest.raises(StoreError, match=r"http://127\.0\.0\.1:\d+/study\.zip can't be read"):
                studies.process(url)
            assert stored(studies) == before


def test_each_request_may_fail_once_in_any_way_without_a_trace(studies, expected):
    with RangeServer() as server:
        url = server.put("study.zip", Path(studies.zip(STUDY)).read_bytes())
        studies.process(url)
        for number in range(len(server.requests)):
            server.requests.clear()
            wrong = FAULTS[(number + 2) % len(FAULTS)]
            server.fault = lambda _, failing=number, how=wrong: how if len(server.requests) == failing + 1 else None
            assert same(studies.process(url), expected)


def test_a_file_that_is_not_on_the_server_is_no_study(studies):
    with RangeServer() as server, pytest.raises(SourceNotFoundError, match="There is no study at"):
        studies.process(f"{server.url}/nowhere.zip")


def test_a_server_that_is_away_is_said_to_be_away(studies):
    with RangeServer() as server:
        url = server.put("study.zip", b"")
    with pytest.raises(
        StoreError, match=r"http://127\.0\.0\.1:\d+/study\.zip can't be read: ClientConnector"
    ) as caught:
        studies.process(url)
    assert "network" in caught.value.hint


@pytest.fixture
def loose(studies):
    """The study as a folder."""
    root = studies.root / "loose"
    for name, content in STUDY.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


def test_a_disk_error_in_any_file_of_a_folder_fails_the_study_by_name(studies, loose, monkeypatch):
    real = Path.open
    for broken in sorted(loose.rglob("*.csv")):

        class Broken(io.FileIO):
            def read(self, size=-1):
                raise disk_error()

        monkeypatch.setattr(
            Path, "open", lambda self, *a, at=broken, **k: Broken(self) if self == at else real(self, *a, **k)
        )
        with pytest.raises(StoreError, match="can't be read: Input/output error") as caught:
            studies.process(str(loose))
        assert str(broken) in caught.value.message


@pytest.mark.parametrize("change", ["gone", "shorter", "longer", "rewritten"])
def test_a_file_that_changes_after_it_was_listed_fails_the_study_by_name(studies, loose, change, monkeypatch):
    path = loose / folder(1) / "Mouse Movement.csv"
    content = path.read_bytes()
    plan = study_source.FolderArchive.list_members

    def list_then_change(archive):
        plan(archive)
        if change == "gone":
            path.unlink()
        else:
            path.write_bytes({"shorter": content[:-9], "longer": content * 2, "rewritten": content}[change])
            os.utime(path, ns=(1, 1))

    monkeypatch.setattr(study_source.FolderArchive, "list_members", list_then_change)
    with pytest.raises(StoreError, match=r"Mouse Movement\.csv has changed while it was read"):
        studies.process(str(loose))


def test_a_folder_that_cannot_be_listed_fails_the_study_by_name(studies, loose, monkeypatch):
    real = os.scandir

    def scandir(path):
        if str(path).endswith("2_participant_session") or str(path).endswith("_trial_1"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(StoreError, match=r"The folder .*_trial_1 can't be listed: Permission denied"):
        studies.process(str(loose))
