"""Error responses: each error has its status, and no path or host is in a message."""

import pytest
from werkzeug.exceptions import NotFound

from analytics_kit import errors
from analytics_kit.web.error_responses import STATUS_CODES, handle_http_error, handle_kit_error, redact_locations


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("There is no study at /data/my/s1.zip.", "There is no study at s1.zip."),
        ("'/data/s1.zip' has changed", "'s1.zip' has changed"),
        ("/data/ is gone", "… is gone"),
        ("Redis at redis://:secret@10.0.0.1:6379/0 is away", "Redis at 0 is away"),
        ("Redis at unix:///run/user/1000/ak/s is away", "Redis at s is away"),
        ("Redis at redis://10.0.0.1:6379 is away", "Redis at … is away"),
        ("s3://bucket/a/s1.zip can't be read", "s1.zip can't be read"),
        ("C:\\Users\\ann\\s1.zip is open", "s1.zip is open"),
        ("where a worker on lab7.example.org looked for it", "where a worker looked for it"),
        ("The worker on lab7.example.org did not find it", "The worker did not find it"),
        ("1_participant_session/A_B_trial_1/Keyboard Inputs.csv, line 3", None),
        ("11,000 px/s is fast; 3/4 of them", None),
        ("Upgrade: pip install -U analytics_kit.", None),
    ],
)
def test_locations_are_redacted_and_other_text_is_kept(text, redacted):
    assert redact_locations(text) == (text if redacted is None else redacted)


def test_a_source_with_spaces_is_redacted_to_its_name():
    assert redact_locations("/my data/a b/s 1.zip is bad", "/my data/a b/s 1.zip") == "s 1.zip is bad"


@pytest.mark.parametrize(("error_type", "code"), STATUS_CODES)
def test_an_error_has_its_status(app, error_type, code):
    with app.test_request_context("/api/analytics/jobs"):
        response = handle_kit_error(error_type("It is at /data/x/y.", hint="Look at /data/x/z."))
    assert response.status_code == code
    assert "/data" not in response.get_data(as_text=True)
    assert ("Retry-After" in response.headers) == (code == 503)


def test_an_error_that_no_request_should_meet_is_500(app, caplog):
    with app.test_request_context("/api/analytics/jobs"):
        response = handle_kit_error(errors.WorkerLostError("gone"))
    assert (response.status_code, response.json["error"]) == (500, "InternalError")
    assert "gone" in caplog.text


def test_an_http_error_has_the_same_form():
    response = handle_http_error(NotFound("No such page.\nmore"))
    assert response.json == {
        "error": "NotFoundError",
        "message": "No such page.",
        "hint": "The page `docs` lists the routes.",
    }
