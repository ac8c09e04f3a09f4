"""What a client in Python asks over HTTP: any options, uploads by content, the log, the files of a result."""

import io

import pandas as pd
import pytest

import analytics_kit as ak
from analytics_kit.study.archive.source import fingerprint
from tests.processes import until
from tests.web.test_study_catalogue import zipped

JOB_ID = "00c0ffee00c0ffee"


@pytest.fixture
def content(tmp_path):
    """content(bytes) → what names a study."""

    def make(study):
        (tmp_path / "s.zip").write_bytes(study)
        return fingerprint(str(tmp_path / "s.zip"))[0]

    return make


@pytest.fixture
def mine(ann, content):
    """The content of a study that ann has uploaded."""
    found = content(zipped(seed=7))
    ann.post(f"/uploads/{found}?name=mine.zip", 201, body=zipped(seed=7))
    return found


def submit(asker, code=202, **asked):
    return asker.ask("POST", "/jobs", code, json=asked).json


def ended(asker, job_id):
    """The job once it has ended."""

    def job():
        (found,) = asker.get(f"/jobs?job_id={job_id}").json["jobs"]
        return found["status"] in ("completed", "failed", "cancelled") and found

    return until(job, "it has ended")


class TestSubmit:
    def test_options_tags_and_limits_are_the_jobs(self, ann, mine):
        asked = {"options": {"keys": "full", "participants": ["1"], "metrics": ["completion_time_s"]}, "tags": ["a"]}
        job = submit(ann, content=mine, time_limit_s=50, **asked)
        assert (job["source"], job["tags"]) == ("mine.zip", ["a"])
        result = ann.service._clients["ann"].get_job(job["job_id"]).result(60)
        options = result.provenance["options"]
        assert (options["keys"], options["participants"], options["metrics"]) == (
            "full",
            ["1"],
            ["completion_time_s"],
        )
        done = ended(ann, job["job_id"])
        assert done["outcome"]["summary"] == result.summary
        assert done["outcome"]["preview"]["columns"]

    def test_a_format_can_be_described(self, ann, mine):
        columns = {"t": "ms", "x": "xpos", "y": "ypos", "trial": "item"}
        described = ak.EventFormat(columns=columns, kind="mouse_movement").model_dump(mode="json")
        job = submit(ann, content=mine, options={"format": described})
        assert ended(ann, job["job_id"])["error"]["error"] == "NoEventsError"
        answer = submit(ann, 422, content=mine, options={"format": {"column": {}}})
        assert "Did you mean 'columns'" in answer["message"]

    def test_a_described_format_has_no_path_where_nothing_could_end_it(self, ann, mine):
        """`(a|aa)+b` on a name of many a's would hold up the whole server."""
        described = ak.EventFormat(columns={"t": "t", "key": "k"}, kind="keyboard", path="(a|aa)+b")
        told = submit(ann, 422, content=mine, options={"format": described.model_dump(mode="json")})
        assert told["parameter"] == "options.format.path"

    def test_a_study_of_the_catalogue(self, ann):
        job = submit(ann, study_id="ok", options={"keys": "full"})
        assert (job["study_id"], ended(ann, job["job_id"])["status"]) == ("ok", "completed")
        submit(ann, 404, study_id="nonesuch")

    def test_the_same_joins_and_refresh_does_not(self, ann, mine):
        first = submit(ann, content=mine, tags=["a"])
        assert submit(ann, content=mine, tags=["b"])["tags"] == ["a", "b"]
        assert submit(ann, content=mine, refresh=True)["job_id"] != first["job_id"]

    def test_content_that_is_not_there_is_404_and_that_of_a_study_done_here_is(self, ann, content, data):
        known = content((data / "ok.zip").read_bytes())
        assert submit(ann, 404, content=known)["hint"] == "Upload it."
        done = ann.done("ok")["job_id"]
        assert submit(ann, content=known)["job_id"] == done
        submit(ann, 404, content=known, options={"keys": "full"})

    def test_of_content_that_others_uploaded_nothing_is_known(self, bob, mine):
        submit(bob, 404, content=mine)

    def test_what_was_uploaded_has_to_be_the_content(self, ann, content):
        other = content(zipped(seed=8))
        ann.post(f"/uploads/{other}", 201, body=zipped(seed=7))
        assert submit(ann, 422, content=other)["error"] == "BadArchiveError"
        submit(ann, 404, content=other)

    def test_a_request_can_be_repeated_under_an_id(self, ann, mine):
        assert submit(ann, content=mine, job_id=JOB_ID)["job_id"] == JOB_ID
        assert submit(ann, content=mine, job_id=JOB_ID, refresh=True)["job_id"] == JOB_ID
        assert submit(ann, 409, content=mine, job_id=JOB_ID, options={"keys": "full"})["error"] == "ConflictError"
        assert len(ann.get("/jobs").json["jobs"]) == 1

    @pytest.mark.parametrize(
        ("asked", "parameter"),
        [
            ({"options": {"idle_gap": 1}}, "options.idle_gap"),
            ({"options": {"idle_gap_s": -1}}, "options.idle_gap_s"),
            ({"time_limit_s": 0}, "time_limit_s"),
            ({"job_id": "x"}, "job_id"),
            ({"study_id": "ok"}, "The body"),
            ({"content": None}, "The body"),
            ({"nonesuch": 1}, "nonesuch"),
        ],
    )
    def test_what_can_not_be_used_is_named(self, ann, asked, parameter):
        answer = submit(ann, 422, **({"content": "3b" * 32} | asked))
        assert answer["parameter"] == parameter

    def test_limits_can_be_tightened_and_not_loosened(self, ann, mine):
        submit(ann, content=mine, options={"max_members": 1000})
        told = submit(ann, 422, content=mine, options={"max_raw_bytes": 10**12})
        assert told["parameter"] == "options"
        assert told["message"] == "options can't be used: max_raw_bytes can be at most 200,000,000,000 on a server."

    def test_an_unknown_metric_suggests_the_nearest(self, ann, mine):
        answer = submit(ann, 422, content=mine, options={"metrics": ["completion_time"]})
        assert "Did you mean 'completion_time_s'" in answer["message"]

    def test_a_memory_limit_needs_a_queue(self, ann, mine):
        assert "can't be killed" in submit(ann, 422, content=mine, memory_limit_mb=100)["message"]

    def test_a_body_that_is_nested_too_deeply_is_refused(self, ann):
        answer = ann.post("/jobs", 422, body=b"[" * 500_000, kind="application/json")
        assert "deeply" in answer.json["message"]

    def test_a_body_that_is_too_long_is_not_read(self, ann):
        ann.ask("POST", "/jobs", 413, data=b"[" * (2 << 20), content_type="application/json")
        ann.ask("POST", "/jobs", 422, data=b"{", content_type="application/json")


class TestUpload:
    def test_what_is_no_zip_or_has_no_length_or_type_is_refused(self, ann, asker):
        path = f"/uploads/{'3b' * 32}"
        ann.post(path, 422, body=b"no ZIP")
        ann.post(path, 415, body=b"PK\x03\x04", kind="text/plain")
        ann.post("/uploads/nonsense", 422, body=b"PK\x03\x04")
        asker(upload_limit_gb=1e-6).post(path, 413, body=b"PK\x03\x04" * 1000)

    def test_leaves_nothing_where_it_is_refused(self, ann, tmp_path):
        ann.post(f"/uploads/{'3b' * 32}", 422, body=b"no ZIP")
        assert not list((tmp_path / "home" / "store").glob("uploads/*"))

    def test_its_name_is_a_name_and_ends_as_a_zip(self, ann, content):
        found = content(zipped(seed=7))
        ann.post(f"/uploads/{found}?name=../../etc/a.csv", 201, body=zipped(seed=7))
        assert submit(ann, content=found)["source"] == "a.csv.zip"


class TestJobs:
    def test_are_asked_for_by_id(self, ann, mine):
        ids = [submit(ann, content=mine, options={"idle_gap_s": gap})["job_id"] for gap in (0.1, 0.2, 0.3)]
        told = ann.get(f"/jobs?job_id={ids[0]}&job_id={ids[2]}&job_id=nonesuch&job_id={ids[0]}").json
        assert ({job["job_id"] for job in told["jobs"]}, told["total"]) == ({ids[0], ids[2]}, 2)
        for job_id in ids:
            ended(ann, job_id)
        assert ann.get(f"/jobs?job_id={ids[0]}&status=failed").json["jobs"] == []
        ann.get("/jobs?" + "&".join(["job_id=x"] * 101), 422)

    def test_cancel_never_removes(self, ann, gate):
        job = submit(ann, study_id="ok")
        path = f"/jobs/{job['job_id']}/cancel"
        assert ann.ask("POST", path, 200).json["status"] == "cancelled"
        assert ann.ask("POST", path, 200).json["status"] == "cancelled"
        gate.touch()
        done = ann.done("tree")["job_id"]
        ann.ask("POST", f"/jobs/{done}/cancel", 409)
        ann.get(f"/jobs/{done}")
        ann.ask("POST", "/jobs/nonesuch/cancel", 404)

    def test_a_log_names_no_folder(self, ann, bob, data, tmp_path):
        job_id = ann.done("broken")["job_id"]
        lines = ann.get(f"/jobs/{job_id}/log").json["lines"]
        assert lines[0].endswith("queued")
        text = "\n".join(lines)
        assert "BadArchiveError: broken.zip" in text
        assert "archive.py" in text
        for place in (str(data), str(tmp_path), ak.__path__[0]):
            assert place not in text
        bob.get(f"/jobs/{job_id}/log", 404)


class TestResult:
    def test_its_files_are_those_of_the_manifest_and_no_others(self, ann, bob):
        job_id = ann.done("ok")["job_id"]
        path = f"/jobs/{job_id}/result"
        manifest = ann.get(f"{path}/manifest").json
        assert manifest["provenance"]["source"] == "ok.zip"
        answer = ann.get(f"{path}/file?path={manifest['tables']['trials']}")
        assert len(pd.read_parquet(io.BytesIO(answer.data))) == manifest["summary"]["trials"]
        assert int(answer.headers["Content-Length"]) == len(answer.data)
        ann.get(f"{path}/file?path={manifest['parts'][0]['path']}")
        for other in ("store.id", "../store.id", "/etc/passwd", f"results/{'3b' * 32}/x"):
            ann.get(f"{path}/file?path={other}", 404)
        bob.get(f"{path}/manifest", 404)
        bob.get(f"{path}/file?path={manifest['tables']['trials']}", 404)

    def test_of_a_job_that_has_none(self, ann, gate):
        job_id = submit(ann, study_id="ok")["job_id"]
        ann.get(f"/jobs/{job_id}/result/manifest", 409)
        ann.get(f"/jobs/{job_id}/result/file?path=x", 409)

    def test_that_is_gone(self, ann, tmp_path):
        job_id = ann.done("ok")["job_id"]
        manifest = ann.get(f"/jobs/{job_id}/result/manifest").json
        (tmp_path / "home" / "store" / manifest["tables"]["issues"]).unlink()
        ann.get(f"/jobs/{job_id}/result/file?path={manifest['tables']['issues']}", 410)
        next((tmp_path / "home" / "store").rglob("manifest.json")).unlink()
        ann.get(f"/jobs/{job_id}/result/manifest", 410)

    def test_being_read_counts_as_use(self, ann, tmp_path):
        import os

        job_id = ann.done("ok")["job_id"]
        manifest = next((tmp_path / "home" / "store").rglob("manifest.json"))
        os.utime(manifest, (0, 0))
        ann.get(f"/jobs/{job_id}/result/manifest")
        assert manifest.stat().st_mtime > 1e9


def test_what_the_server_is_able_to_do_is_told(ann):
    told = ann.get("/queue-status").json
    assert (told["survives_process"], told["kills_running"]) == (False, False)
