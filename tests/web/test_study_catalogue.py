"""The catalogue: studies of a folder and uploads, separate for each namespace."""

import io
import zipfile
from pathlib import Path

import fsspec
import pytest

import analytics_kit as ak
from analytics_kit.errors import SourceNotFoundError, StoreError
from analytics_kit.web import URL_PREFIX
from analytics_kit.web.study_catalogue import StudyCatalogue, is_study_id, study_id_of
from tests.web.small_study import small_zip


@pytest.fixture
def client(tmp_path):
    with ak.connect("local", home=tmp_path / "home", namespace="ann") as client:
        yield client


def receive(catalogue, study_id, body):
    return catalogue.receive(study_id, io.BytesIO(body), len(body))


def test_a_folder_lists_its_zips_and_study_folders(client, data):
    studies = {study.study_id: study for study in StudyCatalogue(client, str(data)).all()}
    assert list(studies) == ["broken", "ok", "tree"]
    assert [study.kind for study in studies.values()] == ["zip", "zip", "folder"]
    assert studies["ok"].size_bytes == (data / "ok.zip").stat().st_size
    assert studies["ok"].changed_at.timestamp() == pytest.approx((data / "ok.zip").stat().st_mtime, abs=1e-3)


def test_an_object_store_lists_zips_only(client):
    files = fsspec.filesystem("memory")
    files.pipe("/studies/remote.zip", small_zip(seed=7))
    files.pipe("/studies/tree_study_id/1_participant_session/x.csv", b"")
    catalogue = StudyCatalogue(client, "memory://studies")
    assert [study.study_id for study in catalogue.all()] == ["remote"]
    assert catalogue.find("remote") == "memory://studies/remote.zip"
    with pytest.raises(SourceNotFoundError):
        catalogue.find("tree")


def test_without_a_folder_only_uploads_are_listed(client):
    catalogue = StudyCatalogue(client, None)
    assert catalogue.all() == []
    source = receive(catalogue, "mine", small_zip(seed=7))
    assert Path(source).read_bytes() == small_zip(seed=7)
    assert [(study.study_id, study.kind, study.source) for study in catalogue.all()] == [("mine", "upload", source)]


def test_a_missing_folder_is_an_error_without_its_path(client, tmp_path):
    catalogue = StudyCatalogue(client, str(tmp_path / "nowhere"))
    with pytest.raises(StoreError) as error:
        catalogue.all()
    assert str(tmp_path) not in str(error.value)
    with pytest.raises(SourceNotFoundError):
        catalogue.find("ok")


def test_an_upload_takes_precedence_over_a_zip_and_a_zip_over_a_folder(client, tmp_path):
    folder = tmp_path / "data"
    (folder / "s_study_id").mkdir(parents=True)
    catalogue = StudyCatalogue(client, str(folder))
    assert catalogue.find("s") == str(folder / "s_study_id")
    (folder / "s.zip").write_bytes(small_zip(seed=7))
    assert catalogue.find("s") == str(folder / "s.zip")
    assert [study.kind for study in catalogue.all()] == ["zip"]
    source = receive(catalogue, "s", small_zip(seed=8))
    assert catalogue.find("s") == source
    assert [study.kind for study in catalogue.all()] == ["upload"]
    Path(source).unlink()
    assert catalogue.find("s") == str(folder / "s.zip")


def test_an_equal_upload_keeps_the_first_copy(client, tmp_path):
    catalogue = StudyCatalogue(client, None)
    first = receive(catalogue, "s", small_zip(seed=7))
    assert receive(catalogue, "s", small_zip(seed=7)) == first
    assert len(list((tmp_path / "home" / "store" / "uploads").iterdir())) == 1


def test_an_upload_is_not_visible_before_it_is_complete(client, data):
    catalogue = StudyCatalogue(client, str(data))
    seen = []

    class ObservedReads(io.BytesIO):
        def read(self, size=-1):
            seen.append(catalogue.find("ok"))
            return super().read(size)

    body = small_zip(seed=7)
    source = catalogue.receive("ok", ObservedReads(body), len(body))
    assert set(seen) == {str(data / "ok.zip")}
    assert catalogue.find("ok") == source


def test_short_reads_are_joined(client):
    class ShortReads(io.BytesIO):
        def read(self, size=-1):
            return super().read(min(size, 3))

    body = small_zip(seed=7)
    assert Path(StudyCatalogue(client, None).receive("s", ShortReads(body), len(body))).read_bytes() == body


def test_uploads_are_visible_in_their_namespace_only(client, tmp_path):
    receive(StudyCatalogue(client, None), "s", small_zip(seed=7))
    with ak.connect("local", home=tmp_path / "home", namespace="bob") as other:
        assert StudyCatalogue(other, None).all() == []
        with pytest.raises(SourceNotFoundError):
            StudyCatalogue(other, None).find("s")


@pytest.mark.parametrize("text", ["a", "9", "A-b_c.d", "a" * 128, "jobs2"])
def test_a_valid_study_id(text):
    assert is_study_id(text)


@pytest.mark.parametrize(
    "text", ["", ".a", "_a", "-a", "a/b", "a\\b", "a b", "a\n", "é", "a" * 129, "jobs", "studies"]
)
def test_an_invalid_study_id(text):
    assert not is_study_id(text)


def test_no_study_id_is_the_first_segment_of_a_route(app):
    rules = [rule.rule.removeprefix(f"{URL_PREFIX}/") for rule in app.url_map.iter_rules()]
    segments = {rule.partition("/")[0] for rule in rules}
    assert {"jobs", "static"} <= segments
    assert not [segment for segment in segments if is_study_id(segment)]


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
def test_the_study_id_of_a_source(source, study_id):
    assert study_id_of(source) == study_id


def test_a_folder_with_the_name_of_a_zip_is_no_study(client, tmp_path):
    (tmp_path / "data" / "odd.zip").mkdir(parents=True)
    catalogue = StudyCatalogue(client, str(tmp_path / "data"))
    assert catalogue.all() == []
    with pytest.raises(SourceNotFoundError):
        catalogue.find("odd")


def test_an_upload_is_stored_completely(client):
    source = receive(StudyCatalogue(client, None), "s", small_zip(seed=7))
    assert zipfile.is_zipfile(source)
