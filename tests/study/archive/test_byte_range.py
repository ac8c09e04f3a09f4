"""Bytes of a ZIP: errors of storage are tried again and named; they are never taken for damage."""

import errno
import io
from pathlib import Path

import pytest

from analytics_kit.errors import StoreError
from analytics_kit.study import storage_errors
from analytics_kit.study.archive import source as study_source
from analytics_kit.study.archive.base import MemberUnreadableError
from analytics_kit.study.archive.byte_range import ByteRange, Spool
from analytics_kit.study.archive.source import open_archive
from tests.study.faulty_files import disk_error
from tests.study.make_study import folder, mouse, zip_bytes

LARGE = {f"{folder()}/Mouse Movement.csv": mouse(*((i / 100, i, i) for i in range(20_000)))}


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(storage_errors, "FIRST_DELAY_S", 0.001)
    monkeypatch.setattr(storage_errors, "PATIENCE_S", 0.1)
    monkeypatch.setattr(storage_errors, "BRIEF_PATIENCE_S", 0.03)


def flaky(*errors):
    file = io.BufferedRandom(io.BytesIO(b"0123456789"))
    reads = list(errors)

    def read(size):
        if reads:
            raise reads.pop()
        return type(file).read(file, size)

    class File:
        seek, close = file.seek, file.close

    File.read = staticmethod(read)
    return ByteRange(File(), 10, name="study.zip")


def test_read_goes_on_after_errors_that_pass():
    assert flaky(ConnectionResetError(), TimeoutError(), disk_error()).read(2, 3) == b"234"


def test_read_names_file_and_byte_of_an_error_that_does_not_pass():
    with pytest.raises(StoreError, match=r"study\.zip can't be read at byte 2: Input/output error"):
        flaky(*[disk_error()] * 10_000).read(2, 3)


def test_read_after_a_final_failure_fails_at_once():
    zip_bytes = flaky(*[disk_error()] * 10_000)
    with pytest.raises(StoreError) as caught:
        zip_bytes.read(2, 3)
    with pytest.raises(StoreError) as again:
        zip_bytes.read(2, 3)
    assert again.value is caught.value  # nothing was tried


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs Linux")
def test_read_of_a_real_input_output_error_is_named():
    with open("/proc/self/mem", "rb", buffering=0) as file:  # noqa: PTH123  its first page is not mapped
        with pytest.raises(OSError, match="Input/output") as caught:
            file.read(1)
        assert caught.value.errno == errno.EIO
        with pytest.raises(StoreError, match="Input/output error"):
            ByteRange(file, 10).read(0, 5)


def test_read_outside_of_the_zip_returns_nothing():
    assert [flaky().read(*span) for span in ((10, 5), (2**70, 1), (-3, 2), (8, 5))] == [b"", b"", b"", b"89"]


@pytest.mark.parametrize("in_memory", [0, 1 << 20])
def test_zip_that_shrinks_while_it_is_read_has_changed(studies, monkeypatch, in_memory):
    monkeypatch.setattr(study_source, "IN_MEMORY_BYTES", in_memory)
    path = Path(studies.zip(LARGE))
    with open_archive(str(path)) as archive:
        path.write_bytes(path.read_bytes()[:100])
        if in_memory:
            assert archive.read(archive.members[0])
            return
        for read in (archive.read, lambda member: b"".join(archive.chunks(member))):
            with pytest.raises(StoreError, match=r"study\.zip has changed while it was read"):
                read(archive.members[0])


def test_zip_that_is_written_over_while_it_is_read_is_not_called_damaged(studies, monkeypatch):
    monkeypatch.setattr(study_source, "IN_MEMORY_BYTES", 0)
    path = Path(studies.zip(LARGE))
    with open_archive(str(path)) as archive:
        content = bytearray(path.read_bytes())
        content[1000:2000] = bytes(1000)
        path.write_bytes(content)
        with pytest.raises(StoreError, match="has changed while it was read"):
            archive.read(archive.members[0])
    with open_archive(str(path)) as archive, pytest.raises(MemberUnreadableError):
        archive.read(archive.members[0])


def test_full_temporary_folder_is_named(monkeypatch):
    class Full(io.BytesIO):
        def write(self, data):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", lambda **_: Full())
    with pytest.raises(StoreError, match=r"The temporary folder .* can't be written: No space left on device"):
        Spool().hold(iter([b"x" * 100]), 64 << 20)


def test_nested_zip_on_a_full_disk_fails_the_study_and_is_no_issue(studies, monkeypatch):
    monkeypatch.setattr("analytics_kit.study.archive.byte_range.IN_MEMORY_BYTES", 0)
    monkeypatch.setattr(
        "tempfile.TemporaryFile", lambda **_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left on device"))
    )
    with pytest.raises(StoreError, match="No space left on device"):
        studies.process({"1_participant_session.zip": zip_bytes(LARGE)})


def test_spooled_zip_is_read_while_another_is_written():
    spool = Spool()
    spool._memory_left = 0
    first = spool.hold(iter([b"abc"]), 3)
    second = spool.hold(iter([b"de"]), 2)
    assert (first.read(0, 3), second.read(0, 2), first.read(2, 5)) == (b"abc", b"de", b"c")
    spool.close()
