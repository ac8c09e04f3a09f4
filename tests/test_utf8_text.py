"""Names that are not UTF-8: they work, and are shown with escapes wherever text is."""

import json
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

import analytics_kit as ak
from analytics_kit.backends.record import Record
from analytics_kit.errors import StoreError
from analytics_kit.model import Failure, JobRequest
from analytics_kit.study.store.store import Store
from analytics_kit.utf8_text import utf8_text


@given(st.text(st.characters()))
def test_any_text_can_be_encoded_and_one_that_can_stays(text):
    made = utf8_text(text)
    assert made.encode().decode() == made
    assert (made == text) == text.isascii() or not any("\ud800" <= each <= "\udfff" for each in text)


def test_bytes_of_file_names_are_shown_as_such():
    assert utf8_text(os.fsdecode(b"caf\xe9 \xc3\xa9.zip")) == "caf\\xe9 é.zip"
    assert utf8_text("\ud800") == "\\ud800"


@pytest.fixture
def client(tmp_path):
    with ak.connect("local", home=os.fsdecode(os.fsencode(tmp_path) + b"/h\xe9me")) as client:
        yield client


@pytest.fixture
def study(tmp_path):
    path = ak.sample_study(tmp_path / "study.zip", participants=1, trials=1)
    return path.rename(tmp_path / os.fsdecode(b"st\xe9.zip"))


def test_study_and_store_with_such_names_are_processed_and_listed(client, study, tmp_path):
    other = client.submit(ak.sample_study(tmp_path / "good.zip", participants=2, trials=1))
    job = client.submit(study, tags=["t\udce9g"])
    assert len(job.result(60).trials) == 4
    other.wait(60)
    jobs = client.jobs()
    assert jobs.source.tolist() == [str(tmp_path / "st\\xe9.zip"), str(tmp_path / "good.zip")]
    assert jobs.tags.tolist() == [("t\\xe9g",), ()]
    texts = [repr(job), job.log(), repr(jobs), repr(client.board()), repr(client), json.dumps(client.health())]
    assert all(text.encode() for text in texts)
    kept = job.result().save(tmp_path / os.fsdecode(b"kept\xe9"))
    assert len(ak.load(kept).trials) == 4
    job.delete()
    assert len(client.jobs()) == 1


def test_error_about_such_a_study_can_be_shown(client, study):
    study.write_bytes(b"no ZIP")
    job = client.submit(study)
    job.wait(60)
    assert "st\\xe9.zip" in client.jobs().error_message[0]
    with pytest.raises(ak.BadArchiveError, match=r"st\\xe9\.zip"):
        job.result()
    study.unlink()
    with pytest.raises(ak.SourceNotFoundError, match=r"st\\xe9\.zip"):
        client.submit(study)


def test_record_of_any_client_is_shown_as_text():
    """Clients of earlier versions wrote the names as they were."""
    record = Record.of(JobRequest("task", {}, "key", "st\udce9.zip", tags=("\udce9",)), "job", 0.0)
    info = Record.from_fields({key.encode(): text.encode() for key, text in record.to_fields().items()}).info("redis")
    assert (info.source, info.tags) == ("st\\xe9.zip", ("\\xe9",))
    failure = Failure.of(OSError("\udce9"), log="\udce8", traceback="\udce7")
    assert (failure.message, failure.log, failure.traceback) == ("\\xe9", "\\xe8", "\\xe7")


def test_manifest_keeps_such_names_as_they_are(tmp_path):
    store = Store(str(tmp_path / "store"))
    store.commit("a", {"name": "\udce9 é"})
    assert store.manifest("a") == {"name": "\udce9 é"}
    with pytest.raises(StoreError, match=r"\\xe9"):
        Store(str(tmp_path / "store" / "store.id" / "\udce9")).require("x" * 32)


def test_command_line_prints_such_names(study, tmp_path):
    code = "import sys; from analytics_kit.cli.app import main; main(sys.argv[1:])"
    environment = os.environ | {"ANALYTICS_KIT_HOME": str(tmp_path / "home"), "ANALYTICS_KIT_BACKEND": "local"}
    run = subprocess.run(
        [sys.executable, "-c", code, "submit", str(study), "--wait", "--json"],
        env=environment, capture_output=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["source"] == str(tmp_path / "st\\xe9.zip")
