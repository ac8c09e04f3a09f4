"""A result over HTTP: tables as JSON, CSV and Parquet, the manifest and the files, and what has no result."""

import io
import os
import shutil

import pandas as pd
import pytest

import analytics_kit as ak
from tests.web.routes.submitting import submit

RESULT = "/jobs/{}/result"


@pytest.fixture(scope="module")
def expected(data):
    return ak.process(data / "ok.zip")


def test_an_expired_result_is_410_and_computed_again_on_request(ann, completed_id, tmp_path):
    shutil.rmtree(tmp_path / "home" / "store" / "results")
    for path in (f"/jobs/{completed_id}", RESULT.format(completed_id), f"/ok/zip-data?job_id={completed_id}"):
        body = ann.get(path, 410).json
        assert body["error"] == "ResultExpiredError"
        assert body["message"] == f"The result of job {completed_id} is gone."
    assert ann.ended_job("ok")["job_id"] != completed_id


class TestTable:
    def test_records_are_the_rows_with_null_for_na(self, ann, completed_id, expected):
        body = ann.get(RESULT.format(completed_id)).json
        assert (body["table"], body["total"], body["offset"], body["next_url"]) == ("trials", 8, 0, None)
        assert pd.DataFrame(body["records"]).isna().to_numpy().tolist() == expected.trials.isna().to_numpy().tolist()
        assert [row["path_length_px"] for row in body["records"]] == expected.trials["path_length_px"].tolist()

    def test_split_has_columns_and_rows(self, ann, completed_id, expected):
        body = ann.get(f"{RESULT.format(completed_id)}?table=tasks&orient=split").json
        assert body["columns"] == list(expected.tasks.columns)
        assert [row[0] for row in body["data"]] == expected.tasks["task"].tolist()
        assert "records" not in body

    def test_next_urls_lead_through_all_rows(self, ann, completed_id, expected):
        url, rows = f"{RESULT.format(completed_id)}?table=mouse_movement&orient=split&limit=300", []
        while url:
            page = ann.get(url.removeprefix("/api/analytics")).json
            assert len(page["data"]) <= 300
            rows += page["data"]
            url = page["next_url"]
        events = expected.events("mouse_movement")
        assert len(rows) == page["total"] == len(events) > 600
        assert [row[:2] + row[-3:] for row in rows] == events.iloc[:, [0, 1, -3, -2, -1]].to_numpy(object).tolist()

    @pytest.mark.parametrize("table", ["trials", "participants", "issues", "members", "surveys", "keyboard"])
    def test_parquet_is_the_table(self, ann, completed_id, expected, table):
        response = ann.get(f"{RESULT.format(completed_id)}?table={table}&format=parquet")
        assert response.mimetype == "application/vnd.apache.parquet"
        assert response.headers["Content-Disposition"] == f'attachment; filename="{table}.parquet"'
        read = pd.read_parquet(io.BytesIO(response.get_data()))
        whole = expected.events(table) if table == "keyboard" else getattr(expected, table)
        pd.testing.assert_frame_equal(read, whole)

    def test_csv_is_the_table(self, ann, completed_id, expected):
        response = ann.get(f"{RESULT.format(completed_id)}?table=factors&format=csv")
        assert response.content_type == "text/csv; charset=utf-8"
        read = pd.read_csv(io.BytesIO(response.get_data()))
        assert read["completion_time_s"].tolist() == expected.factors["completion_time_s"].tolist()

    def test_participant_id_selects_rows_where_a_table_has_participants(self, ann, completed_id):
        for table in ("trials", "participants", "mouse_clicks"):
            rows = ann.get(f"{RESULT.format(completed_id)}?table={table}&participant_id=2").json["records"]
            assert {row["participant"] for row in rows} == {"2"}
        assert ann.get(f"{RESULT.format(completed_id)}?participant_id=3").json["records"] == []
        body = ann.get(f"{RESULT.format(completed_id)}?table=tasks&participant_id=2", 422).json
        assert body["parameter"] == "participant_id"

    @pytest.mark.parametrize(
        ("query", "parameter"),
        [("table=nonesuch", "table"), ("format=xml", "format"), ("orient=up", "orient"), ("limit=0", "limit"),
         ("limit=10001", "limit"), ("offset=-1", "offset"), ("rows=1", "rows")],
    )  # fmt: skip
    def test_an_invalid_parameter_is_named(self, ann, completed_id, query, parameter):
        assert ann.get(f"{RESULT.format(completed_id)}?{query}", 422).json["parameter"] == parameter

    def test_a_job_that_is_not_completed_has_none(self, ann, gate):
        job_id = ann.get("/ok/zip-data", 202).json["job_id"]
        assert "queued" in ann.get(RESULT.format(job_id), 409).json["message"]
        ann.delete(f"/jobs/{job_id}", 200)
        assert "cancelled" in ann.get(RESULT.format(job_id), 409).json["message"]


class TestFiles:
    def test_the_files_are_those_of_the_manifest_and_no_others(self, ann, bob, completed_id):
        path = RESULT.format(completed_id)
        manifest = ann.get(f"{path}/manifest").json
        assert manifest["provenance"]["source"] == "ok.zip"
        response = ann.get(f"{path}/file?path={manifest['tables']['trials']}")
        assert len(pd.read_parquet(io.BytesIO(response.data))) == manifest["summary"]["trials"]
        assert int(response.headers["Content-Length"]) == len(response.data)
        ann.get(f"{path}/file?path={manifest['parts'][0]['path']}")
        for other in ("store.id", "../store.id", "/etc/passwd", f"results/{'3b' * 32}/x"):
            ann.get(f"{path}/file?path={other}", 404)
        bob.get(f"{path}/manifest", 404)
        bob.get(f"{path}/file?path={manifest['tables']['trials']}", 404)

    def test_a_job_that_is_not_completed_has_none(self, ann, gate):
        job_id = submit(ann, study_id="ok")["job_id"]
        ann.get(f"{RESULT.format(job_id)}/manifest", 409)
        ann.get(f"{RESULT.format(job_id)}/file?path=x", 409)

    def test_a_file_or_manifest_that_was_removed_is_410(self, ann, completed_id, tmp_path):
        manifest = ann.get(f"{RESULT.format(completed_id)}/manifest").json
        (tmp_path / "home" / "store" / manifest["tables"]["issues"]).unlink()
        ann.get(f"{RESULT.format(completed_id)}/file?path={manifest['tables']['issues']}", 410)
        next((tmp_path / "home" / "store").rglob("manifest.json")).unlink()
        ann.get(f"{RESULT.format(completed_id)}/manifest", 410)

    def test_reading_the_manifest_marks_the_result_as_used(self, ann, completed_id, tmp_path):
        manifest = next((tmp_path / "home" / "store").rglob("manifest.json"))
        os.utime(manifest, (0, 0))
        ann.get(f"{RESULT.format(completed_id)}/manifest")
        assert manifest.stat().st_mtime > 1e9
