"""Sources of studies: locating, opening and fingerprinting them."""

import os
import sys
import zipfile

import fsspec
import pytest

from analytics_kit.errors import BadArchiveError, SourceNotFoundError, StoreError
from analytics_kit.study.archive import source as study_source
from analytics_kit.study.archive import zip_archive
from analytics_kit.study.archive.base import MemberUnreadableError
from analytics_kit.study.archive.folder_archive import FolderArchive
from analytics_kit.study.archive.source import fingerprint, is_url, locate, open_archive, open_members
from analytics_kit.study.archive.zip_archive import ZipArchive
from tests.study.make_study import folder, mouse, patched, typed, zip_bytes

STUDY = {f"{folder()}/Mouse Movement.csv": mouse((0.1, 1, 2)), f"{folder()}/Keyboard Inputs.csv": typed((0.1, "a"))}


def test_locate_returns_an_absolute_path_or_a_url(tmp_path, monkeypatch):
    (tmp_path / "s.zip").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    assert locate("s.zip") == locate(tmp_path / "s.zip") == str(tmp_path / "s.zip")
    assert locate("s3://bucket/s.zip") == "s3://bucket/s.zip"
    assert is_url("memory://x")
    assert not is_url("C:/x")
    with pytest.raises(SourceNotFoundError, match=r"There is no study at .*t\.zip"):
        locate("t.zip")
    with pytest.raises(FileNotFoundError):
        locate("t.zip")


def test_study_at_a_url_is_read(studies):
    with fsspec.open("memory://kit-tests/study.zip", "wb") as file:
        file.write(zip_bytes(STUDY))
    result = studies.process("memory://kit-tests/study.zip")
    assert result.summary["events"] == {"mouse_movement": 1, "keyboard": 1}
    assert fingerprint("memory://kit-tests/study.zip") == fingerprint(studies.zip(STUDY))


def test_fingerprint_does_not_depend_on_the_location(studies):
    first, second = studies.zip(STUDY), studies.zip(STUDY, "other name.zip")
    assert fingerprint(first) == fingerprint(second)
    assert fingerprint(first)[1] == os.path.getsize(first)  # noqa: PTH202


def test_fingerprint_does_not_depend_on_compression(studies):
    loose, packed = studies.zip(STUDY, compression=zipfile.ZIP_STORED), studies.zip(STUDY, "packed.zip")
    assert fingerprint(loose)[0] == fingerprint(packed)[0]


@pytest.mark.parametrize(
    "change",
    [
        {f"{folder()}/Mouse Movement.csv": mouse((0.1, 1, 3))},
        {f"{folder()}/Mouse Clicks.csv": mouse()},
        {"2_participant_session.zip": zip_bytes(STUDY)},
    ],
)
def test_fingerprint_of_other_content_differs(studies, change):
    assert fingerprint(studies.zip(STUDY))[0] != fingerprint(studies.zip(STUDY | change, "changed.zip"))[0]


def test_fingerprint_of_a_changed_nested_zip_differs(studies):
    one = fingerprint(
        studies.zip({"1_participant_session.zip": zip_bytes({"a_b_trial_1/Mouse Clicks.csv": mouse((1, 1, 1))})})
    )
    two = fingerprint(
        studies.zip({"1_participant_session.zip": zip_bytes({"a_b_trial_1/Mouse Clicks.csv": mouse((1, 1, 2))})})
    )
    assert one[0] != two[0]


def test_fingerprint_of_a_folder_with_a_rewritten_file_differs(tmp_path):
    (tmp_path / "a.csv").write_text("x")
    before = fingerprint(str(tmp_path))
    assert fingerprint(str(tmp_path)) == before
    os.utime(tmp_path / "a.csv", ns=(1, 1))
    assert fingerprint(str(tmp_path)) != before


def test_fingerprint_of_a_file_that_is_no_zip_covers_its_ends(tmp_path):
    path = tmp_path / "s.zip"
    path.write_bytes(b"A" * 100_000 + b"B" * 100_000)
    first = fingerprint(str(path))
    assert first[1] == 200_000
    path.write_bytes(b"A" * 100_000 + b"B" * 99_999 + b"C")
    assert fingerprint(str(path))[0] != first[0]
    with pytest.raises(BadArchiveError):
        open_archive(str(path))
    with pytest.raises(SourceNotFoundError):
        fingerprint(str(tmp_path / "nowhere.zip"))


@pytest.mark.parametrize(
    "compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
@pytest.mark.parametrize("chunk", [100, 1 << 20])
def test_read_and_chunks_return_the_bytes(studies, monkeypatch, compression, chunk):
    monkeypatch.setattr(zip_archive, "CHUNK_BYTES", chunk)
    contents = {"empty.csv": b"", "small.csv": b"abc", "large.csv": os.urandom(3000) + b"0" * 5000}
    with open_archive(studies.zip(contents, compression=compression)) as archive:
        for member in archive.members:
            assert archive.read(member) == b"".join(archive.chunks(member)) == contents[member.name]


def test_chunks_are_at_most_chunk_bytes(studies, monkeypatch):
    monkeypatch.setattr(zip_archive, "CHUNK_BYTES", 1000)
    with open_archive(studies.zip({"zeros.csv": b"0" * 1_000_000})) as archive:
        assert max(map(len, archive.chunks(archive.members[0]))) <= 1000


@pytest.mark.parametrize(
    "fields", [{"crc": 1}, {"raw": 5}, {"raw": 99_999}, {"flag": 1}, {"method": 99}, {"packed": 3}, {"packed": 0}]
)
@pytest.mark.parametrize("chunk", [100, 1 << 20])
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_damaged_member_fails_in_read_and_in_chunks(studies, monkeypatch, fields, chunk, compression):
    monkeypatch.setattr(zip_archive, "CHUNK_BYTES", chunk)
    raw = patched(zip_bytes({"a.csv": b"0123456789" * 60}, compression), "a.csv", **fields)
    with open_archive(studies.zip(raw)) as archive:
        (member,) = archive.members
        with pytest.raises(MemberUnreadableError):
            archive.read(member)
        with pytest.raises(MemberUnreadableError):
            list(archive.chunks(member))


def test_chunks_of_a_zip_bomb_stop_early(studies, monkeypatch):
    monkeypatch.setattr(zip_archive, "CHUNK_BYTES", 10_000)
    raw = patched(zip_bytes({"a.csv": b"0" * 50_000_000}), "a.csv", raw=50_000)
    with open_archive(studies.zip(raw)) as archive:
        seen = 0
        with pytest.raises(MemberUnreadableError, match="not the 50000 in the ZIP's directory"):  # noqa: PT012
            for piece in archive.chunks(archive.members[0]):
                seen += len(piece)
        assert seen < 20_000_000


def test_read_of_a_file_removed_after_listing_fails(tmp_path):
    (tmp_path / "a.csv").write_text("x")
    with open_archive(str(tmp_path)) as archive:
        (tmp_path / "a.csv").unlink()
        with pytest.raises(StoreError, match=r"a\.csv has changed while it was read"):
            archive.read(archive.members[0])


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has no file names but UTF-8")
def test_folder_names_that_are_not_utf8_are_read_as_latin1(studies):
    trial = os.fsencode(studies.root) + b"/study/1_participant_session/T\xe4sk_Easy_trial_1"
    os.makedirs(trial)  # noqa: PTH103
    with open(trial + b"/Mouse Movement.csv", "w") as file:  # noqa: PTH123
        file.write(mouse((0.1, 1, 2)))
    result = studies.process(str(studies.root / "study"))
    assert result.trials.task.tolist() == ["T\xe4sk"]
    assert len(result.events("mouse_movement")) == 1
    assert set(result.issues.kind) == {"name_encoding"}


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has no file names but UTF-8")
def test_folder_name_that_is_guessed_like_another_one_is_left_out_with_an_issue(studies):
    for number, name in enumerate((b"T\xe4sk", "T\xe4sk".encode())):
        trial = os.fsencode(studies.root) + b"/study/1_participant_session/" + name + b"_Easy_trial_1"
        os.makedirs(trial)  # noqa: PTH103
        with open(trial + b"/Mouse Movement.csv", "w") as file:  # noqa: PTH123
            file.write(mouse((0.1, number, 2)))
    result = studies.process(str(studies.root / "study"))
    assert result.events("mouse_movement")["x_px"].tolist() == [1]
    assert "another file has the name" in result.issues.to_string()


SESSIONS = {
    "7_participant_session.zip": zip_bytes({"A_B_trial_1/Mouse Clicks.csv": mouse((0.1, 1, 2))}),
    f"{folder(9)}/Mouse Movement.csv": mouse((0.2, 3, 4)),
    "broken.zip": b"PK no more",
    "8_participant_session.zip": zip_bytes({"A_B_trial_1/Mouse Clicks.csv": mouse((0.3, 5, 6))}),
}


def study_of(kind, studies):
    """Return the source of a study: a ZIP, a ZIP of ZIPs, a folder, a CSV or a URL."""
    if kind == "folder":
        for name, text in STUDY.items():
            path = studies.root / "tree" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        if sys.platform != "darwin":
            (studies.root / "tree" / os.fsdecode(b"T\xe4sk.csv")).write_text("guessed")
        return str(studies.root / "tree")
    if kind == "csv":
        (studies.root / "Mouse Movement.csv").write_text(mouse((0.1, 1, 2)))
        return str(studies.root / "Mouse Movement.csv")
    if kind == "url":
        with fsspec.open("memory://kit-tests/sessions.zip", "wb") as file:
            file.write(zip_bytes(SESSIONS))
        return "memory://kit-tests/sessions.zip"
    return studies.zip(SESSIONS if kind == "nested" else STUDY)


@pytest.mark.parametrize("kind", ["zip", "nested", "folder", "csv", "url"])
@pytest.mark.parametrize("in_memory", [0, 1 << 20])
def test_open_members_reads_without_listing(studies, monkeypatch, kind, in_memory):
    monkeypatch.setattr(study_source, "IN_MEMORY_BYTES", in_memory)
    source = study_of(kind, studies)
    with open_archive(source) as archive:
        whole = {member: archive.read(member) for member in archive.members}
        nested = list(archive.nested)
    chosen = list(whole)[::-1][:2]
    for archive_class in (ZipArchive, FolderArchive):
        monkeypatch.setattr(archive_class, "list_members", None)
    monkeypatch.setattr(zip_archive, "read_directory", None)
    with open_members(source, chosen, nested) as archive:
        assert archive.members == chosen
        assert [archive.read(member) for member in archive.members] == [whole[member] for member in chosen]
        assert [b"".join(archive.chunks(member)) for member in chosen] == [whole[member] for member in chosen]


def test_nested_zip_is_inflated_when_a_member_of_it_is_read(studies):
    source = study_of("nested", studies)
    with open_archive(source) as archive:
        assert [member.name for member in archive.nested] == [
            "7_participant_session.zip",
            "8_participant_session.zip",
        ]
        loose, _, seven, eight = sorted(
            archive.members, key=lambda m: (m.zip_number, m.name != f"{folder(9)}/Mouse Movement.csv")
        )
        nested = [archive.nested[0]._replace(crc=1), archive.nested[1]]
    with open_members(source, [loose, seven, eight], nested) as archive:
        assert archive.read(loose).endswith(b"0.2,3,4\n")
        assert archive.read(eight).endswith(b"0.3,5,6\n")
        for _ in range(2):
            with pytest.raises(MemberUnreadableError, match="checksum"):
                archive.read(seven)


def test_open_members_of_a_removed_study_fails(studies):
    source = studies.zip(STUDY)
    with open_archive(source) as archive:
        members = archive.members
    os.unlink(source)  # noqa: PTH108
    with pytest.raises(SourceNotFoundError):
        open_members(source, members, [])


def test_fingerprint_of_an_opened_archive_is_that_of_its_source(studies):
    source = study_of("nested", studies)
    with open_archive(source) as archive:
        assert archive.fingerprint() == fingerprint(source)[0]
