"""An upload arrives in pieces, appears whole or not at all, and goes with its job or when it expires."""

import time
from pathlib import Path

import pytest

from analytics_kit.errors import SettingsError
from analytics_kit.model import RESULT_TTL_S
from analytics_kit.settings import Settings
from analytics_kit.study.store import uploads
from analytics_kit.study.store.retention import UNFINISHED_S, sweep, tidy_uploads
from analytics_kit.study.store.store import Store
from analytics_kit.study.store.uploads import NoRoomError, Upload


@pytest.fixture
def settings(tmp_path):
    return Settings.of(home=tmp_path)


@pytest.fixture
def store(settings):
    return Store.of(settings)


def uploaded(settings, data=b"0123456789", name="study.zip"):
    upload = Upload(settings, name, len(data))
    upload.write(0, data[:4])
    upload.write(4, memoryview(data)[4:])
    return upload.finish()


def test_finish_makes_the_file_of_all_pieces(settings, tmp_path):
    source = uploaded(settings)
    with open(source, "rb") as file:  # noqa: PTH123  as a worker gets it: a string
        assert file.read() == b"0123456789"
    assert source.startswith(f"{tmp_path}/store/uploads/")
    assert source.endswith("/study.zip")


def test_upload_is_invisible_until_it_is_whole(settings, store):
    upload = Upload(settings, "study.zip", 10)
    upload.write(0, b"0123")
    assert not [file for file in store.files("uploads") if file.path.endswith("/study.zip")]
    with pytest.raises(SettingsError, match="ended after 4 of 10 bytes"):
        upload.finish()
    assert store.files("uploads") == []


def test_abandon_leaves_nothing(settings, store):
    upload = Upload(settings, "study.zip", 10)
    upload.write(0, b"0123")
    upload.abandon()
    assert store.files("uploads") == []


@pytest.mark.parametrize(("at", "piece"), [(3, b"x"), (5, b"x"), (4, b"1234567")])
def test_piece_out_of_order_is_refused(settings, at, piece):
    upload = Upload(settings, "study.zip", 10)
    upload.write(0, b"0123")
    with pytest.raises(SettingsError, match="out of order"):
        upload.write(at, piece)
    assert upload.written_bytes == 4
    upload.abandon()


def test_upload_beyond_the_limit_is_refused_at_once(tmp_path):
    settings = Settings.of(home=tmp_path, upload_limit_gb=0.001)
    with pytest.raises(SettingsError, match=r"at most 0\.001 GB") as caught:
        Upload(settings, "study.zip", 1_000_001)
    assert "ANALYTICS_KIT_UPLOAD_LIMIT_GB" in caught.value.hint
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("study.zip", "study.zip"),
        ("../../etc/passwd", "passwd"),
        ("C:\\data\\Größe 1.zip", "Größe 1.zip"),
        ("a\x00b\n<c>.zip", "a_b__c_.zip"),
        ("", "study.zip"),
        ("..", "study.zip"),
        ("x" * 300 + ".zip", "x" * 196 + ".zip"),
    ],
)
def test_safe_name_is_accepted_by_any_store(name, safe):
    assert uploads.safe_name(name) == safe


def test_is_upload_is_true_for_this_store_only(settings):
    source, store_url = uploaded(settings), settings.store_url()
    assert uploads.is_upload(store_url, source)
    assert not uploads.is_upload("/elsewhere", source)
    assert not uploads.is_upload(store_url, f"{store_url}/results/study.zip")
    assert not uploads.is_upload(store_url, f"{store_url}/../store/uploads/{'0' * 32}/x.zip")


def test_is_upload_refuses_a_link_out_of_the_store(settings, tmp_path):
    source = Path(uploaded(settings))
    (tmp_path / "secret.zip").write_bytes(b"secret")
    source.unlink()
    source.symlink_to(tmp_path / "secret.zip")
    assert not uploads.is_upload(settings.store_url(), str(source))


def test_discard_removes_uploads_and_nothing_else(settings, store, tmp_path):
    kept, gone = uploaded(settings), uploaded(settings)
    store.id(create=True)
    stranger = tmp_path / "mine" / "uploads" / ("0" * 32) / "study.zip"
    stranger.parent.mkdir(parents=True)
    stranger.write_bytes(b"mine")
    for source in (gone, str(stranger), "study.zip"):
        uploads.discard(source)
    assert [f"{tmp_path}/store/{file.path}" for file in store.files("uploads")] == [kept]
    assert stranger.exists()


def test_uploads_expire_as_results_do(settings, store):
    uploaded(settings)
    (file,) = store.files("uploads")
    assert sweep(store, file.changed_at + RESULT_TTL_S - 1, None).expired == 0
    assert sweep(store, file.changed_at + RESULT_TTL_S + 1, None).expired == 1
    assert store.files("uploads") == []


class TestRoom:
    def test_uploads_of_a_namespace_beyond_its_quota_are_refused(self, tmp_path):
        ann, bob = (Settings.of(home=tmp_path, namespace=name, upload_quota_gb=25e-9) for name in ("ann", "bob"))
        uploaded(ann)
        uploaded(ann)
        with pytest.raises(NoRoomError, match="no room") as caught:
            Upload(ann, "study.zip", 10)
        assert "ANALYTICS_KIT_UPLOAD_QUOTA_GB" in caught.value.hint
        uploaded(bob)
        assert len(Store.of(ann).files("uploads")) == 3

    def test_an_upload_counts_with_its_whole_size_while_it_is_received(self, tmp_path):
        settings = Settings.of(home=tmp_path, upload_quota_gb=25e-9)
        first = Upload(settings, "study.zip", 20)
        first.write(0, b"01")
        with pytest.raises(NoRoomError):
            Upload(settings, "study.zip", 10)
        first.abandon()
        uploaded(settings)

    def test_all_uploads_together_keep_to_the_limit_of_the_store(self, tmp_path):
        ann, bob = (Settings.of(home=tmp_path, namespace=name, store_limit_gb=15e-9) for name in ("ann", "bob"))
        uploaded(ann)
        with pytest.raises(NoRoomError, match="The store has no room"):
            Upload(bob, "study.zip", 10)
        assert len(Store.of(ann).files("uploads")) == 1

    def test_no_quota_is_no_limit(self, tmp_path):
        for quota in (None, float("inf")):
            uploaded(Settings.of(home=tmp_path, upload_quota_gb=quota, store_limit_gb=None))


class TestTidyUploads:
    def test_equal_content_is_stored_once_and_removed_on_its_own(self, tmp_path):
        ann, bob = (Settings.of(home=tmp_path, namespace=name) for name in ("ann", "bob"))
        assert Store.of(ann).id(create=True)
        store, sources = Store.of(ann), [uploaded(each) for each in (ann, ann, bob)]
        other = uploaded(bob, b"9876543210")
        tidy_uploads(store, time.time())
        assert len({Path(source).stat().st_ino for source in sources}) == 1
        assert Path(other).stat().st_ino != Path(sources[0]).stat().st_ino
        uploads.discard(sources[0])
        assert not Path(sources[0]).exists()
        assert [Path(source).read_bytes() for source in (*sources[1:], other)] == [b"0123456789"] * 2 + [
            b"9876543210"
        ]

    def test_equal_content_counts_once_in_the_limit_of_the_store(self, tmp_path):
        settings = Settings.of(home=tmp_path, store_limit_gb=25e-9)
        uploaded(settings)
        uploaded(settings)
        tidy_uploads(Store.of(settings), time.time())
        uploaded(settings)

    def test_an_upload_that_broke_off_is_removed_and_one_that_goes_on_stays(self, settings, store):
        upload = Upload(settings, "study.zip", 10)
        upload.write(0, b"0123")
        now = store.now_s()
        tidy_uploads(store, now + UNFINISHED_S - 60)
        assert store.files("uploads")
        tidy_uploads(store, now + UNFINISHED_S + 60)
        assert store.files("uploads") == []

    def test_a_complete_upload_of_any_name_stays(self, settings, store):
        source = uploaded(settings, name="study.0123abcd~.zip")
        tidy_uploads(store, store.now_s() + UNFINISHED_S + 60)
        assert Path(source).exists()


def test_results_make_room_for_uploads(settings, store):
    uploaded(settings)
    now = store.now_s() + 7200
    with store.create(f"results/{'0' * 64}/job/trials.parquet") as file:
        file.write(b"x" * 100)
    store.commit(f"results/{'0' * 64}/job", {"provenance": {"created_at": "2999-01-01T00:00:00+00:00"}})
    assert sweep(store, now, max_bytes=100_000).evicted == 0
    size_bytes = sum(file.size_bytes for file in store.files("results"))
    assert sweep(store, now, max_bytes=size_bytes + 9).evicted == 1
