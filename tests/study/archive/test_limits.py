"""Limits of archives: a ZIP that exceeds one is refused, by name, before it costs time or memory."""

import contextlib
import json
import stat
import subprocess
import sys
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import analytics_kit as ak
from analytics_kit.errors import AnalyticsKitError, BadMemberError, UnsafeArchiveError
from analytics_kit.options import Options
from analytics_kit.study.archive import byte_range
from analytics_kit.study.archive import limits as archive_limits
from analytics_kit.study.archive.base import MemberUnreadableError
from analytics_kit.study.archive.source import fingerprint, open_archive, open_members
from analytics_kit.study.formats import fulcrum
from analytics_kit.study.pipeline import merge
from tests.study import bombs
from tests.study.make_study import MOUSE, folder, issues_of, mouse, patched, zip_bytes

GOOD, BAD = f"{folder(trial=1)}/Mouse Movement.csv", f"{folder(trial=2)}/Mouse Movement.csv"
ROWS = mouse((0.1, 1, 2), (0.2, 3, 4))
TWO = zip_bytes({GOOD: ROWS, BAD: ROWS})

BOMBS = {
    # name: (ZIP, pattern of the message)
    "quoted overlap": (
        bombs.quoted_overlap(),
        r"study.zip would inflate to 4\.9 GB, 11\d,\d{3} times its packed size; the limit is 250 times \(max_ratio\)",
    ),
    "full overlap": (bombs.full_overlap(), r"max_ratio"),
    "dense": (bombs.dense(100_000_000), r"study.zip would inflate to 100.0 MB, 1,0\d\d times its packed size; "),
    "nested": (bombs.nested(), r"study.zip would inflate to \d+\.\d MB, .* times its packed size"),
    "deep": (bombs.deep(), r"is a ZIP inside 2 other ZIPs; the limit is 1 \(max_nesting\)"),
    "claims an exabyte": (patched(TWO, BAD, raw=0xFFFFFFFE), r"would inflate to 4\.3 GB, .* times"),
}
MEASURED = """
import json, resource, sys
from analytics_kit.options import Options
from analytics_kit.study.archive.source import fingerprint, open_archive
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
before, error = peak(), None
fingerprint(sys.argv[1])
try:
    with open_archive(sys.argv[1], Options(**json.loads(sys.argv[2]))) as archive:
        for member in archive.members:
            try:
                for piece in archive.chunks(member):
                    pass
            except Exception as damage:
                error = damage
except Exception as refused:
    error = refused
print(json.dumps([type(error).__name__, str(error), peak() - before]))
"""


def read_in_a_process(path, **options):
    """Return type and text of the error that reading all of a ZIP ends in, and the memory in MB it took."""
    command = [sys.executable, "-c", MEASURED, path, json.dumps(options)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.parametrize("name", BOMBS)
def test_bomb_is_refused_with_little_memory(studies, name):
    raw, message = BOMBS[name]
    path = studies.zip(raw)
    error, text, megabytes = read_in_a_process(path)
    assert error == "UnsafeArchiveError"
    assert megabytes < 200
    with pytest.raises(UnsafeArchiveError, match=message) as caught:
        studies.process(path)
    assert caught.value.message in text
    assert "submit(…, max_" in caught.value.hint
    assert studies.stored == []


def test_bombs_with_overlaps_are_small():
    assert len(BOMBS["quoted overlap"][0]) < 43_000
    assert len(BOMBS["full overlap"][0]) < 43_000


def test_bomb_with_a_permitted_ratio_is_refused_for_its_overlaps(studies):
    path = studies.zip(bombs.quoted_overlap(files=2, kernel_bytes=40_000_000))
    error, text, megabytes = read_in_a_process(path, max_ratio=10**9)
    assert error == "UnsafeArchiveError"
    assert "0.csv in study.zip shares bytes with 1.csv." in text
    assert "No setting permits it" in text
    assert megabytes < 200


def test_member_with_a_false_size_inflates_no_further_than_claimed(studies):
    raw = patched(bombs.dense(200_000_000), "1_participant_session/A_B_trial_1/Mouse Movement.csv", raw=1000)
    error, text, megabytes = read_in_a_process(studies.zip(raw))
    assert (error, "more than 1000 bytes" in text) == ("MemberUnreadableError", True)
    assert megabytes < 100


def test_nested_zip_with_a_false_size_inflates_no_further_than_claimed(studies, monkeypatch):
    raw = patched(zip_bytes({GOOD: ROWS, "2.zip": bytes(50_000_000)}), "2.zip", raw=1000)
    result = studies.process(raw)
    assert issues_of(result) == [("2.zip", None, "unreadable_zip", 0)]


SIZE, LENGTH = len(ROWS), len(GOOD)
NESTED = zip_bytes({GOOD: ROWS, "2.zip": TWO}, zipfile.ZIP_STORED)
LIMITS = {
    # name: (ZIP, options that refuse it, message up to the limit, value in the hint)
    "raw": (TWO, {"max_raw_bytes": 80}, f"study.zip would inflate to {2 * SIZE} bytes; the limit is 80 bytes",
            2 * SIZE),
    "member": (TWO, {"max_member_bytes": 20},
               f"{GOOD} in study.zip would inflate to {SIZE} bytes; the limit is 20 bytes", SIZE),
    "members": (TWO, {"max_members": 1}, "study.zip holds more than 1 files; the limit is 1", 2),
    "name": (TWO, {"max_name_length": 50}, f"{GOOD} in study.zip has a name of {LENGTH} bytes; the limit is 50",
             LENGTH),
    "nesting": (NESTED, {"max_nesting": 0}, "2.zip is a ZIP inside 1 other ZIPs; the limit is 0", 1),
    "members of nested ZIPs": (NESTED, {"max_members": 3}, "study.zip holds more than 3 files; the limit is 3", 6),
    "raw of nested ZIPs": (NESTED, {"max_raw_bytes": len(TWO) + 3 * SIZE - 1}, "study.zip would inflate to",
                           len(TWO) + 3 * SIZE),
}  # fmt: skip


@pytest.mark.parametrize("name", LIMITS)
def test_limit_error_names_the_limit_and_the_value_that_permits_the_study(studies, name):
    raw, options, message, value = LIMITS[name]
    (option,) = options
    with pytest.raises(UnsafeArchiveError) as caught:
        studies.process(raw, **options)
    assert caught.value.message.startswith(message)
    assert caught.value.message.endswith(f" ({option}).")
    assert caught.value.hint.endswith(f"raise the limit: submit(…, {option}={value}).")
    assert studies.process(raw, **{option: value}).summary["rows_kept"] >= 4


def test_ratio_is_checked_only_above_64_mb(studies, monkeypatch):
    raw = zip_bytes({GOOD: MOUSE + "10:00:00,0.1,1,1\n" * 100_000})
    assert studies.process(raw, max_ratio=2).summary["rows_kept"] == 100_000
    monkeypatch.setattr(archive_limits, "RATIO_FROM_BYTES", 1_000_000)
    with pytest.raises(UnsafeArchiveError, match=r"study.zip would inflate to 1\.7 MB, .*the limit is 2 times"):
        studies.process(raw, max_ratio=2)
    with pytest.raises(UnsafeArchiveError, match=r"^2.zip would inflate to 1\.7 MB, .*the limit is 2 times"):
        studies.process(
            zip_bytes({"2.zip": raw, "noise.bin": bytes(range(256)) * 9000}, zipfile.ZIP_STORED), max_ratio=2
        )


POSITIONS = {
    "ends beyond the ZIP": (patched(TWO, BAD, packed=0xFFFFFFFE), r"trial_2/.* in study.zip lies outside the ZIP"),
    "begins beyond the ZIP": (patched(TWO, BAD, offset=0xFFFFFFF0), r"trial_2/.* lies outside the ZIP"),
    "over the directory": (patched(TWO, BAD, packed=60), r"trial_2/.* overlaps the ZIP's directory"),
    "over the next file": (patched(TWO, GOOD, packed=60), r"trial_1/.* shares bytes with .*trial_2/"),
    "twice the same": (patched(TWO, BAD, offset=0), r"shares bytes with"),
    "in a nested ZIP": (zip_bytes({GOOD: ROWS, "2.zip": patched(TWO, BAD, offset=0)}), r"in 2.zip shares bytes with"),
}


@pytest.mark.parametrize("name", POSITIONS)
def test_entry_outside_its_zip_or_over_another_is_refused(studies, name):
    raw, message = POSITIONS[name]
    with pytest.raises(UnsafeArchiveError, match=message) as caught:
        studies.process(raw)
    assert "No setting permits it" in caught.value.hint


def test_directory_in_any_order_is_read(studies):
    end = TWO.index(b"PK\1\2")
    second = TWO.index(b"PK\1\2", end + 4)
    tail = TWO.index(b"PK\5\6")
    raw = TWO[:end] + TWO[second:tail] + TWO[end:second] + TWO[tail:]
    assert studies.process(raw).summary["rows_kept"] == 4


@pytest.mark.parametrize(
    ("mode", "kind"),
    [(stat.S_IFLNK, "link"), (stat.S_IFCHR, "device"), (stat.S_IFIFO, "device"), (stat.S_IFSOCK, "device")],
)
def test_links_and_devices_are_left_out(studies, mode, kind):
    raw = patched(TWO, BAD, attributes=(mode | 0o644) << 16)
    result = studies.process(raw)
    assert issues_of(result) == [(BAD, None, kind, 0)]
    assert BAD not in set(result.members.member)
    with pytest.raises(BadMemberError, match=rf"\({kind}\)"):
        studies.process(raw, on_error="raise")
    with open_archive(studies.zip(patched(TWO, BAD, attributes=(stat.S_IFREG | 0o644) << 16))) as archive:
        assert len(archive.members) == 2


@pytest.mark.parametrize(("method", "name"), [(9, "Deflate64"), (98, "PPMd"), (93, "Zstandard"), (77, "method 77")])
def test_unsupported_compression_method_is_named(studies, method, name):
    (message,) = studies.process(patched(TWO, BAD, method=method)).issues.message
    assert name in message


def test_winzip_encryption_is_named(studies):
    (message,) = studies.process(patched(TWO, BAD, method=99, flag=1)).issues.message
    assert "WinZip AES" in message


def test_resource_fork_of_a_nested_zip_is_no_zip(studies):
    result = studies.process({GOOD: ROWS, "__MACOSX/._2.zip": b"\0\5\x16\7"})
    assert issues_of(result) == []


@pytest.mark.parametrize("memory_bytes", [0, 400, 1 << 20])
def test_nested_zips_beyond_the_memory_limit_are_read_from_a_file(studies, monkeypatch, memory_bytes):
    monkeypatch.setattr(byte_range, "IN_MEMORY_BYTES", memory_bytes)
    texts = {f"{i}.zip": mouse(*[(t / 10, i, t) for t in range(20)]) for i in (1, 2, 3, 4, 6)}
    members = {name: zip_bytes({"Mouse Movement.csv": text}) for name, text in texts.items()}
    path = studies.zip({"5.zip": b"broken" * 100, **members})
    whole = {f"{name}/Mouse Movement.csv": text.encode() for name, text in texts.items()} | {"5.zip": b"broken" * 100}
    with open_archive(path) as archive:
        assert {member.name: archive.read(member) for member in archive.members} == whole
    with open_members(path, archive.members[::-1], archive.nested) as opened:
        assert {member.name: opened.read(member) for member in opened.members} == whole


def test_large_surveys_and_manifests_are_issues(studies, monkeypatch):
    survey = "1_participant_session/mood_survey/answers.csv"
    study = {GOOD: ROWS, survey: "a,b\n" + "1,2\n" * 50, "manifest.csv": "id,kind\n" + "1,keyboard\n" * 50}
    assert len(studies.process(study).surveys) == 100
    monkeypatch.setattr("analytics_kit.study.archive.base.SHORT_MEMBER_BYTES", 100)
    assert {(m, k) for m, _, k, _ in issues_of(studies.process(study))} == {
        (survey, "survey"),
        ("manifest.csv", "manifest"),
    }
    monkeypatch.undo()
    monkeypatch.setattr(merge, "MAX_ANSWERS", 11)
    monkeypatch.setattr(fulcrum, "MAX_EXTRA_LINES", 10)
    result = studies.process(study)
    assert len(result.surveys) == 11
    assert {(m, k) for m, _, k, _ in issues_of(result)} == {(survey, "survey"), ("manifest.csv", "manifest")}


def test_job_of_an_unsafe_study_fails_with_its_error(studies, tmp_path):
    with ak.connect("local", home=tmp_path / "home") as client:
        for raw in (BOMBS["quoted overlap"][0], bombs.deep(), POSITIONS["twice the same"][0]):
            job = client.submit(studies.zip(raw))
            assert isinstance(job.exception(timeout=60), UnsafeArchiveError)
        assert client.submit(studies.zip(TWO), max_members=1).id != client.submit(studies.zip(TWO)).id


def test_fingerprint_of_a_zip_with_too_many_files_covers_its_ends(studies):
    path = studies.zip(TWO)
    assert fingerprint(path, Options(max_members=1)) != fingerprint(path)
    assert fingerprint(path, Options(max_members=1)) == fingerprint(path, Options(max_members=1))


SMALL = zip_bytes({GOOD: ROWS, "2.zip": zip_bytes({"A_B_trial_1/Mouse Movement.csv": ROWS})})
SEEDS = (SMALL, zip_bytes({GOOD: ROWS}, zipfile.ZIP_BZIP2), zip_bytes({GOOD: ROWS}, zipfile.ZIP_LZMA))


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(SEEDS), st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=8))
def test_damaged_bytes_raise_named_errors_and_inflate_within_limits(tmp_path_factory, seed, changes):
    raw = bytearray(seed)
    for position, value in changes:
        raw[position % len(raw)] = value
    path = tmp_path_factory.getbasetemp() / "fuzzed.zip"
    path.write_bytes(raw)
    fingerprint(str(path))
    limits = Options(max_raw_bytes=10**6, max_member_bytes=10**5)
    with contextlib.suppress(AnalyticsKitError), open_archive(str(path), limits) as archive:
        assert sum(member.raw_bytes for member in archive.members) <= limits.max_raw_bytes
        for member in archive.members:
            for read in (archive.read, lambda member: b"".join(archive.chunks(member))):
                try:
                    inflated = len(read(member))
                except MemberUnreadableError as error:
                    inflated = len(error.partial)
                assert inflated <= member.raw_bytes + 1 <= limits.max_member_bytes + 1
