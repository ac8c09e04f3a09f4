"""A ZIP behind a URL is read once, in few requests, however many shards and kinds of events there are."""

import zipfile

import pytest

from analytics_kit.errors import StoreError
from analytics_kit.options import Options
from analytics_kit.study.archive import remote_range
from analytics_kit.study.archive import source as study_source
from analytics_kit.study.archive.remote_range import MAX_GAP_BYTES, MAX_PIECE_BYTES, join_spans
from analytics_kit.study.archive.source import fingerprint, open_archive
from analytics_kit.study.pipeline import run as pipeline
from analytics_kit.study.store.store import Store
from tests.range_server import RangeServer
from tests.study.make_study import folder, mouse, typed, zip_bytes
from tests.study.step_queue import Queue

ROWS = [(i / 100, i % 1920, i % 1080) for i in range(1500)]
KINDS = {"Mouse Movement": mouse(*ROWS), "Mouse Clicks": mouse(*ROWS[:400]), "Mouse Scrolls": mouse(*ROWS[:400])}
KINDS["Keyboard Inputs"] = typed(*((t, "a") for t, _, _ in ROWS[:400]))
STUDY = {
    f"{folder(participant, trial=trial)}/{kind}.csv": text
    for participant in range(1, 9)
    for trial in range(1, 5)
    for kind, text in KINDS.items()
}
STUDY |= {f"{n}_participant_session/After_survey/answers.csv": "How?\nwell\n" for n in range(1, 9)}


@pytest.fixture(scope="module")
def server():
    with RangeServer() as server:
        server.put("study.zip", zip_bytes(STUDY, zipfile.ZIP_STORED))
        yield server


@pytest.fixture
def url(server):
    server.requests.clear()
    return f"{server.url}/study.zip"


def size(server):
    return len(server.files["/study.zip"])


def test_steps_of_a_job_read_the_zip_once_in_few_requests(studies, server, url):
    queue = Queue(studies, url, shard_bytes=size(server) // 8)
    result = queue.result(queue.run())
    assert len(result.trials) == 32
    assert len(result.surveys) == 8
    steps = 2 + 8
    assert server.bytes_read <= 1.2 * size(server)
    assert len(server.requests) <= 4 * steps


def test_process_in_threads_reads_the_zip_once(studies, server, url):
    store = Store(str(studies.root / "store"))
    pipeline.run(url, Options(), store, "r", threads=3, shard_bytes=size(server) // 8)
    assert server.bytes_read <= 1.2 * size(server)


def test_fingerprint_reads_the_directory_only(server, url):
    fingerprint(url)
    assert server.bytes_read < 0.1 * size(server)
    assert len(server.requests) <= 4


def test_small_zip_is_read_in_one_request(studies, server):
    small = server.put("small.zip", zip_bytes({f"{folder()}/Mouse Movement.csv": mouse(*ROWS)}))
    server.requests.clear()
    studies.process(small)
    assert [request.method for request in server.requests] == ["HEAD", "GET"]


def test_piece_is_fetched_again_when_too_much_is_held(server, url, monkeypatch):
    monkeypatch.setattr(remote_range, "MAX_PIECE_BYTES", 200_000)
    monkeypatch.setattr(remote_range, "MAX_HELD_BYTES", 400_000)
    with open_archive(url) as archive, archive.expecting(archive.members):
        for _ in range(2):
            for member in archive.members:
                assert archive.read(member) == STUDY[member.name].encode()
    assert 1.8 < server.bytes_read / size(server) < 2.2


def test_pieces_are_released_when_they_are_not_expected_any_more(url):
    with open_archive(url) as archive:
        first, second = archive.members[:40], archive.members[20:60]
        with archive.expecting(first):
            archive.read(first[0])
            with archive.expecting(second):
                archive.read(second[-1])
            assert archive.read(first[-1])
        assert not archive._zips[0]._held
        assert not archive._zips[0]._pieces


def test_large_member_is_streamed_and_not_held(server, url, monkeypatch):
    monkeypatch.setattr("analytics_kit.study.archive.zip_archive.MAX_PIECE_BYTES", 20_000)
    with open_archive(url) as archive, archive.expecting(archive.members):
        large = max(archive.members, key=lambda member: member.raw_bytes)
        assert b"".join(archive.chunks(large)) == STUDY[large.name].encode()
        assert not archive._zips[0]._held


def test_spans_are_joined_over_small_gaps_up_to_the_size_of_a_piece():
    gap, piece = MAX_GAP_BYTES, MAX_PIECE_BYTES
    assert join_spans([(0, 10), (10 + gap, 20 + gap)]) == [(0, 20 + gap)]
    assert join_spans([(0, 10), (11 + gap, 20 + gap)]) == [(0, 10), (11 + gap, 20 + gap)]
    assert join_spans([(0, piece), (piece - 100, piece + 10)]) == [(0, piece), (piece - 100, piece + 10)]
    assert join_spans([]) == []


def test_server_without_ranges_is_read_in_order(studies, server, monkeypatch):
    content = zip_bytes({f"{folder()}/Mouse Movement.csv": mouse(*ROWS)})
    monkeypatch.setattr(study_source, "SMALL_REMOTE_BYTES", 0)
    whole = server.put("whole.zip", content)
    server.without_ranges.add("/whole.zip")
    assert len(studies.process(whole).events("mouse_movement")) == len(ROWS)


@pytest.fixture
def nested(server):
    """The URL of a ZIP that holds a ZIP for each participant, unpacked."""
    zips = {
        f"{participant}.zip": zip_bytes(
            {name: text for name, text in STUDY.items() if name.startswith(f"{participant}_")}, zipfile.ZIP_STORED
        )
        for participant in range(1, 9)
    }
    url = server.put("nested.zip", zip_bytes(zips, zipfile.ZIP_STORED))
    server.requests.clear()
    return url


def test_zips_in_a_zip_are_read_in_parts_and_once(studies, server, nested, monkeypatch):
    monkeypatch.setattr("analytics_kit.study.archive.zip_archive.MIN_WINDOW_BYTES", 0)
    queue = Queue(studies, nested, shard_bytes=size(server) // 8)
    result = queue.result(queue.run())
    expected = studies.process(zip_bytes(STUDY))
    assert result.trials.drop(columns="trial_order").equals(expected.trials.drop(columns="trial_order"))
    assert result.summary["issues"] == 0
    assert server.bytes_read <= 1.2 * len(server.files["/nested.zip"])
    assert len(server.requests) <= 80


def test_small_zips_in_a_zip_are_fetched_together(server, nested):
    with open_archive(nested) as archive:
        assert {member.zip_number for member in archive.members} == set(range(1, 9))
    assert server.bytes_read <= 1.2 * len(server.files["/nested.zip"])
    assert len(server.requests) <= 6


def test_zip_that_is_replaced_while_it_is_read_is_not_called_damaged(server):
    url = server.put("changing.zip", zip_bytes(STUDY, zipfile.ZIP_STORED))
    with open_archive(url) as archive:
        content = bytearray(server.files["/changing.zip"])
        content[1000:-10_000] = bytes(len(content) - 11_000)
        server.put("changing.zip", bytes(content))
        with pytest.raises(StoreError, match=r"changing\.zip has changed while it was read"):
            archive.read(archive.members[1])
