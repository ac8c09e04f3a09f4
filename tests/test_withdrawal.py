"""Consent is withdrawn: nothing that a namespace keeps has, or names, the participant any more."""

import os
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import analytics_kit as ak
from analytics_kit.backends.record import RecordState
from analytics_kit.backends.redis import backend as redis_backend
from analytics_kit.client import WORKER_TASKS
from analytics_kit.redaction import REDACTED
from analytics_kit.study.store.paths import UPLOADS, job_folder
from analytics_kit.study.store.store import Store
from tests.api_server import TOKENS, ApiServer
from tests.study.make_study import folder, mouse, typed, zip_bytes

LIMIT_S = 60
WHO, OTHER = "Zaphod", "Trillian"


@pytest.fixture(scope="module")
def named(tmp_path_factory, redis_url, workers):
    """A client of a Redis that was named."""
    home = tmp_path_factory.mktemp("named") / "home"
    settings = {"ANALYTICS_KIT_HOME": str(home)}
    with (
        workers(redis_url, WORKER_TASKS, **settings),
        ak.connect(redis_url, home=home, namespace="withdrawal") as client,
    ):
        yield client


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """An HTTP server, with jobs inside it."""
    with ApiServer(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def local(tmp_path):
    """A client whose work is done in this process."""
    with ak.connect("local", home=tmp_path / "home") as client:
        yield client


@pytest.fixture(params=["named", "local"])
def client(request):
    client = request.getfixturevalue(request.param)
    yield client
    for job_id in client.jobs()["job_id"]:
        client.get_job(job_id).delete()


@pytest.fixture
def study(tmp_path):
    """study(…) → a ZIP with three participants, one of them WHO; each number gives another content."""

    def make(number=0, *, names=(WHO, OTHER, "Marvin"), extra=()):
        members = [
            (f"{folder(name, trial=t)}/{file}.csv", content)
            for name in names
            for t in (1, 2)
            for file, content in (
                ("Mouse Movement", mouse((0, number, 1), (0.5, 3, len(name)))),
                ("Keyboard Inputs", typed((0.2, "'h'"), (0.3, f"'{name}'"))),
            )
        ]
        members += [(f"{name}_participant_session/Mood_survey/mood.csv", f"mood\nbad {name}\n") for name in names]
        path = tmp_path / f"study-{number}.zip"
        path.write_bytes(zip_bytes([*members, *extra]))
        return path

    return make


def stored_bytes(client):
    """All that lies in the client's store: paths, and contents, which small tables do not compress."""
    root = Path(client.settings.store_url())
    files = [path for path in root.rglob("*") if path.is_file()]
    return b"\n".join([str(path).encode() + b"\n" + path.read_bytes() for path in files])


def kept_records(client):
    """All that the backend keeps of the client's jobs, as text."""
    records = client.backend.records()
    return "\n".join([*map(repr, records), *(line for r in records for line in client.backend.log(r.job_id))])


def upload(client, path):
    received = client.receive(path.name, path.stat().st_size)
    received.write(0, path.read_bytes())
    return received.finish()


def test_results_records_and_uploads_lose_the_participant(client, study):
    source = upload(client, study())
    job = client.submit(source, keys="full", tags=[WHO, "pilot"])
    job.result(LIMIT_S)
    assert WHO.encode() in stored_bytes(client)
    assert WHO in kept_records(client)
    report = client.forget(participant=WHO)
    assert WHO.encode() not in stored_bytes(client)
    assert WHO not in kept_records(client)
    assert report == ak.ForgetReport(results=1, trials=2, events=8, members=5, answers=1, uploads=1, jobs=1)
    again = client.get_job(job.id)
    assert list(again.result().participants["participant"]) == ["Marvin", OTHER]
    assert again.info().tags == ("pilot",)
    assert again.info().result["summary"] == again.result().summary
    assert {row[0] for row in again.info().result["preview"]["trials"]} == {"Marvin", OTHER}


def test_a_study_that_is_submitted_again_has_the_result_without_them(client, study):
    path = study(1)
    job = client.submit(path)
    job.result(LIMIT_S)
    report = client.forget(WHO)
    (left,) = report.unreached
    assert str(path) in left
    assert job.id in left
    assert "refresh=True" in left
    assert not report.is_complete
    joined = client.submit(path)
    assert joined.id == job.id
    assert WHO not in set(joined.result(LIMIT_S).trials["participant"])
    renewed = client.submit(path, refresh=True)
    assert WHO in set(renewed.result(LIMIT_S).trials["participant"])
    assert client.forget(WHO).results == 1


def test_all_results_of_a_person_are_meant_also_those_without_a_job(client, study):
    first, second = client.submit(study(2)), client.submit(study(3, names=(WHO, "Ford")))
    other = client.submit(study(4, names=("Ford", "Marvin")))
    for job in (first, second, other):
        job.result(LIMIT_S)
    processed = client.process(study(5))
    manifest = Path(client.settings.store_url()).glob("results/*/*/**/manifest.json")
    untouched = {path: path.read_bytes() for path in manifest if f"{other.id}" in str(path)}
    report = client.forget(WHO)
    assert report.results == 3
    assert report.jobs == 2
    assert {path: path.read_bytes() for path in untouched} == untouched
    with pytest.raises(ak.ResultExpiredError, match="replaced"):
        processed.surveys  # noqa: B018


def test_other_namespaces_are_left_alone_and_results_of_unknown_owner_are_listed(local, study, tmp_path):
    path = study(6)
    with ak.connect("local", store=local.settings.store_url(), namespace="elsewhere") as other:
        theirs = other.process(path)
        store = Store.of(local.settings)
        local.process(path)
        mine = local.forget(WHO)
        assert (mine.results, mine.unreached) == (1, ())
        assert WHO in set(theirs.trials["participant"])
        prefixes = [f.path.rpartition("/")[0] for f in store.files("results") if f.path.endswith("manifest.json")]
        (prefix,) = [prefix for prefix in prefixes if "revision" not in store.manifest(prefix)]
        manifest = store.manifest(prefix)
        del manifest["owner"]
        store.commit(prefix, manifest)
        (left,) = local.forget(WHO).unreached
        assert "not known whose" in left


def test_a_failed_job_does_not_quote_their_files(client, study):
    bad = (f"{folder(WHO, trial=9)}/Mouse Movement.csv", "Time,running_time,x,y\n10:00:00,0.1,never,1\n")
    path = study(7, extra=[bad])
    job = client.submit(path, on_error="raise", participants=[WHO, OTHER])
    assert isinstance(job.exception(LIMIT_S), ak.BadMemberError)
    assert WHO in kept_records(client)
    client.forget(WHO)
    assert WHO not in kept_records(client)
    again = client.get_job(job.id)
    assert again.exception().message == REDACTED
    assert again.retry().result(LIMIT_S).provenance["options"]["participants"] == [OTHER]


def test_an_upload_stays_while_a_job_that_has_not_ended_needs_it(client, study, monkeypatch):
    source = upload(client, study(8))
    job = client.submit(source)
    job.result(LIMIT_S)
    keeper, records = client.backend, client.backend.records()
    with monkeypatch.context() as patch:
        running = [replace(records[0], job_id="other", state=RecordState.RUNNING, result=None), *records]
        patch.setattr(keeper, "records", lambda: running)
        report = client.forget(WHO)
    assert report.uploads == 0
    assert Path(source).exists()
    (left,) = report.unreached
    assert "Job other is running" in left
    assert client.forget(WHO).uploads == 1
    assert not Path(source).exists()


def test_an_upload_with_them_goes_even_if_its_results_chose_others(client, study):
    source = upload(client, study(9))
    client.submit(source, participants=[OTHER]).result(LIMIT_S)
    report = client.forget(WHO)
    assert report.uploads == 1
    assert report.trials == 0
    assert not list((Path(client.settings.store_url()) / UPLOADS).rglob("*.zip"))


def test_what_a_failed_job_left_in_the_store_goes(client, study):
    job = client.submit(study(13, extra=[("Zaphod.bad", "x")]), max_members=3)
    assert job.exception(LIMIT_S)
    store, key = Store.of(client.settings), job.info().result_key
    left = f"{job_folder(key, job.id)}/part-0-1/members.parquet"
    with store.create(left) as file:
        file.write(WHO.encode())
    client.forget(WHO)
    assert store.changed_at(left) is None


def test_another_committed_attempt_of_a_job_is_not_taken_for_a_result(client, study):
    job = client.submit(study(14))
    job.result(LIMIT_S)
    store, result = Store.of(client.settings), job.info().result
    other = f"{result['folder']}/begin-9"
    store.commit(other, store.manifest(result["prefix"]))
    client.forget(WHO)
    assert WHO not in set(job.result().trials["participant"])
    assert store.manifest(other) is None


def test_work_that_was_killed_long_ago_is_listed(local, study):
    local.process(study(15))
    left = Path(local.settings.store_url()) / "results" / ("ab" * 32) / "process" / "events" / "keyboard.parquet"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"x")
    assert local.forget(WHO).is_complete
    os.utime(left, (1e9, 1e9))
    (line,) = local.forget(WHO).unreached
    assert "1 folders" in line


def test_a_result_whose_files_are_gone_leaves_no_preview_of_them(client, study):
    job = client.submit(study(10))
    job.result(LIMIT_S)
    info = job.info()
    Store(info.result["store"]).delete(info.result["folder"])
    assert WHO in kept_records(client)
    client.forget(WHO)
    preview = client.get_job(job.id).info().result["preview"]
    assert {row[0] for row in preview["trials"]} == {OTHER, "Marvin"}


def test_a_study_named_after_them_is_not_named_any_more(client, tmp_path):
    lines = ["subject_nr,mt_id,timestamps,xpos,ypos", *(f"{WHO},id1,{t},1,1" for t in range(4))]
    path = tmp_path / f"{WHO}.csv"
    path.write_text("\n".join(lines))
    client.submit(path, format="mousetracking").result(LIMIT_S)
    path.unlink()
    report = client.forget(WHO)
    assert report.is_complete
    assert WHO not in kept_records(client)
    assert WHO.encode() not in stored_bytes(client)


@pytest.mark.parametrize("name", ["Zaphot", "zaphod", "Zaphod ", ""])
def test_a_name_that_nobody_has_is_refused_without_naming_others(client, study, name):
    client.submit(study(11)).result(LIMIT_S)
    with pytest.raises(ak.SettingsError) as caught:
        client.forget(name)
    assert OTHER not in str(caught.value)
    assert WHO not in str(caught.value)


@pytest.mark.parametrize("name", [2, np.int64(2), "2"])
def test_a_number_is_a_name(local, tmp_path, name):
    local.process(ak.sample_study(tmp_path / "sample.zip", participants=2, trials=1))
    assert local.forget(name).trials == 4


@pytest.mark.parametrize("name", [None, True, 1.5, ["1"]])
def test_what_can_not_be_a_name_is_refused(local, name):
    with pytest.raises(ak.SettingsError, match="can't be"):
        local.forget(name)


def test_what_a_result_needs_from_a_newer_version_is_listed(client, study):
    job = client.submit(study(12))
    job.result(LIMIT_S)
    result = job.info().result
    store = Store(result["store"])
    store.commit(result["prefix"], store.manifest(result["prefix"]) | {"schema_version": 99})
    unreached = client.forget(WHO).unreached
    assert any(job.id in line and "schema 99" in line for line in unreached)


def test_two_at_the_same_time_both_remove_theirs(client, study):
    jobs = [client.submit(study(20 + i)) for i in range(3)]
    for job in jobs:
        job.result(LIMIT_S)
    threads = [threading.Thread(target=client.forget, args=(name,)) for name in (WHO, OTHER)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(list(job.result().participants["participant"]) == ["Marvin"] for job in jobs)


def test_another_process_waits_for_the_lock_and_then_refuses(named, monkeypatch):
    monkeypatch.setattr(redis_backend, "LOCK_WAIT_S", 0.2)
    monkeypatch.setattr(redis_backend, "LOCK_TTL_S", 0.6)
    with named.backend.forgetting():
        until = time.monotonic() + 1.0  # the lock is renewed
        while time.monotonic() < until:
            with pytest.raises(ak.BrokerUnavailableError, match="Another process"), named.backend.forgetting():
                pass
    with named.backend.forgetting():
        pass


class TestOverHttp:
    @pytest.fixture
    def ann(self, server, tmp_path):
        with ak.connect(server.url, token=TOKENS["ann"], home=tmp_path / "mine") as client:
            yield client

    def test_the_server_removes_them_and_wants_no_new_upload(self, server, ann, study):
        path = study(30)
        job = ann.submit(path)
        opened = job.result(LIMIT_S)
        uploads = server.folder / "home" / "store" / UPLOADS
        assert len(list(uploads.rglob("*.zip"))) == 1
        report = ann.forget(participant=WHO)
        assert report == ak.ForgetReport(results=1, trials=2, events=8, members=5, answers=1, uploads=1, jobs=1)
        assert not list(uploads.rglob("*.zip"))
        with pytest.raises(ak.ResultExpiredError, match="replaced"):
            opened.trials  # noqa: B018
        joined = ann.submit(path)
        assert joined.id == job.id
        assert WHO not in set(joined.result(LIMIT_S).trials["participant"])
        assert not list(uploads.rglob("*.zip"))

    def test_another_token_reaches_nothing(self, server, ann, study, tmp_path):
        job = ann.submit(study(31))
        job.result(LIMIT_S)
        bob = ak.connect(server.url, token=TOKENS["bob"], home=tmp_path / "bobs")
        with bob, pytest.raises(ak.SettingsError, match="Nothing that is kept"):
            bob.forget(WHO)
        assert WHO in set(job.result().trials["participant"])

    def test_a_study_of_the_server_is_listed_without_its_folder(self, server, ann, study):
        (server.folder / "data" / "shared.zip").write_bytes(study(32).read_bytes())
        ann.submit("study:shared").result(LIMIT_S)
        (left,) = [line for line in ann.forget(WHO).unreached if "shared.zip" in line]
        assert str(server.folder) not in left
        assert "The study shared.zip (job " in left
