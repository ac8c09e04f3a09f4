"""The catalogue: what lies in a folder and what was uploaded, each namespace its own."""

import io
import zipfile
from pathlib import Path

import fsspec
import pytest

import analytics_kit as ak
from analytics_kit.errors import SourceNotFoundError, StoreError
from analytics_kit.web import URL_PREFIX
from analytics_kit.web.study_catalogue import StudyCatalogue, is_study_id, study_id_of


def small_zip(seed, scratch={}):  # noqa: B006  each is made once
    """The bytes of a small study."""
    if seed not in scratch:
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            path = ak.sample_study(Path(folder) / "s.zip", participants=1, trials=1, seed=seed, trial_s=3)
            scratch[seed] = path.read_bytes()
    return scratch[seed]


@pytest.fixture
def client(tmp_path):
    with ak.connect("local", home=tmp_path / "home", namespace="ann") as client:
        yield client


def received(catalogue, study_id, body):
    return catalogue.receive(study_id, io.BytesIO(body), len(body))


def test_a_folder_is_listed(client, data):
    found = {study.study_id: study for study in StudyCatalogue(client, str(data)).all()}
    assert list(found) == ["broken", "ok", "tree"]
    assert [study.kind for study in found.values()] == ["zip", "zip", "folder"]
    assert found["ok"].size_bytes == (data / "ok.zip").stat().st_size
    assert found["ok"].changed_at.timestamp() == pytest.approx((data / "ok.zip").stat().st_mtime, abs=1e-3)


def test_an_object_store_has_zips(client):
    files = fsspec.filesystem("memory")
    files.pipe("/studies/far.zip", small_zip(seed=7))
    files.pipe("/studies/tree_study_id/1_participant_session/x.csv", b"")
    catalogue = StudyCatalogue(client, "memory://studies")
    assert [study.study_id for study in catalogue.all()] == ["far"]
    assert catalogue.find("far") == "memory://studies/far.zip"
    with pytest.raises(SourceNotFoundError):
        catalogue.find("tree")


def test_without_a_folder_there_is_what_was_uploaded(client):
    catalogue = StudyCatalogue(client, None)
    assert catalogue.all() == []
    source = received(catalogue, "mine", small_zip(seed=7))
    assert Path(source).read_bytes() == small_zip(seed=7)
    assert [(study.study_id, study.kind, study.source) for study in catalogue.all()] == [("mine", "upload", source)]


def test_a_folder_that_is_gone_is_said(client, tmp_path):
    catalogue = StudyCatalogue(client, str(tmp_path / "nowhere"))
    with pytest.raises(StoreError) as caught:
        catalogue.all()
    assert str(tmp_path) not in str(caught.value)
    with pytest.raises(SourceNotFoundError):
        catalogue.find("ok")


def test_a_zip_comes_before_a_folder_and_an_upload_before_both(client, tmp_path):
    folder = tmp_path / "data"
    (folder / "s_study_id").mkdir(parents=True)
    catalogue = StudyCatalogue(client, str(folder))
    assert catalogue.find("s") == str(folder / "s_study_id")
    (folder / "s.zip").write_bytes(small_zip(seed=7))
    assert catalogue.find("s") == str(folder / "s.zip")
    assert [study.kind for study in catalogue.all()] == ["zip"]
    source = received(catalogue, "s", small_zip(seed=8))
    assert catalogue.find("s") == source
    assert [study.kind for study in catalogue.all()] == ["upload"]
    Path(source).unlink()
    assert catalogue.find("s") == str(folder / "s.zip")


def test_the_same_content_again_keeps_the_first_copy(client, tmp_path):
    catalogue = StudyCatalogue(client, None)
    first = received(catalogue, "s", small_zip(seed=7))
    assert received(catalogue, "s", small_zip(seed=7)) == first
    assert len(list((tmp_path / "home" / "store" / "uploads").iterdir())) == 1


def test_nobody_sees_it_before_it_has_come(client, data):
    catalogue = StudyCatalogue(client, str(data))
    seen = []

    class Slow(io.BytesIO):
        def read(self, size=-1):
            seen.append(catalogue.find("ok"))
            return super().read(size)

    body = small_zip(seed=7)
    source = catalogue.receive("ok", Slow(body), len(body))
    assert set(seen) == {str(data / "ok.zip")}
    assert catalogue.find("ok") == source


def test_pieces_may_be_short(client):
    class Drip(io.BytesIO):
        def read(self, size=-1):
            return super().read(min(size, 3))

    body = small_zip(seed=7)
    assert Path(StudyCatalogue(client, None).receive("s", Drip(body), len(body))).read_bytes() == body


def test_uploads_are_seen_in_their_namespace_only(client, tmp_path):
    received(StudyCatalogue(client, None), "s", small_zip(seed=7))
    with ak.connect("local", home=tmp_path / "home", namespace="bob") as other:
        assert StudyCatalogue(other, None).all() == []
        with pytest.raises(SourceNotFoundError):
            StudyCatalogue(other, None).find("s")


@pytest.mark.parametrize("text", ["a", "9", "A-b_c.d", "a" * 128, "jobs2"])
def test_an_id(text):
    assert is_study_id(text)


@pytest.mark.parametrize(
    "text", ["", ".a", "_a", "-a", "a/b", "a\\b", "a b", "a\n", "é", "a" * 129, "jobs", "studies"]
)
def test_no_id(text):
    assert not is_study_id(text)


def test_no_id_is_a_word_of_another_route(app):
    rules = [rule.rule.removeprefix(f"{URL_PREFIX}/") for rule in app.url_map.iter_rules()]
    words = {rule.partition("/")[0] for rule in rules}
    assert {"jobs", "static"} <= words
    assert not [word for word in words if is_study_id(word)]


@pytest.mark.parametrize(
    ("source", "study_id"),
    [
        ("/data/s1.zip", "s1"),
        ("s3://bucket/s1.zip", "s1"),
        ("/data/s1_study_id", "s1"),
        ("/data/s1_study_id/", "s1"),
        ("/data/s1.csv", None),
        ("/data/a b.zip", None),
        ("/data/jobs.zip", None),
    ],
)
def test_the_id_of_what_lies_there(source, study_id):
    assert study_id_of(source) == study_id


def test_a_member_that_is_a_zip_file_by_name_only(client, tmp_path):
    (tmp_path / "data" / "odd.zip").mkdir(parents=True)
    catalogue = StudyCatalogue(client, str(tmp_path / "data"))
    assert catalogue.all() == []
    with pytest.raises(SourceNotFoundError):
        catalogue.find("odd")


def test_what_was_uploaded_is_a_whole_zip(client):
    source = received(StudyCatalogue(client, None), "s", small_zip(seed=7))
    assert zipfile.is_zipfile(source)
