"""Texts that name a participant are recognised; others, numbers above all, stay."""

import pytest

from analytics_kit.model import Failure
from analytics_kit.redaction import REDACTED, Redactor

PREVIEW = {
    "columns": ["participant", "trial"],
    "trials": [["anna", 1], ["ben", 1]],
    "issues": [["anna/a.csv", 1, "artefact", "1 row"], ["ben/a.csv", 1, "artefact", "1 row"]],
}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("anna", "anna/Search/keys.csv, line 5: not a number"),
        ("anna", "Its participants: anna, ben"),
        ("anna", "File 'x', line 3, in read anna.csv"),
        ("1", "1_participant_session/Search_Easy_trial_1/Mouse Movement.csv, line 3: not a number."),
        ("1", "the participants: 1, 2"),
        ("1", "FileNotFoundError: '/data/1/a.csv'"),
        ("1", "pilot/1.zip/a.csv"),
        ("P 07", "P 07 has no file"),
        ("ä+b", "ä+b/x.csv"),
    ],
)
def test_text_that_names_the_participant_is_removed(name, text):
    assert Redactor(name).names(text)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("anna", "annabel/Search/keys.csv"),
        ("anna", "johanna"),
        ("1", "begin taken by worker-1"),
        ("1", "2_participant_session/Search_Easy_trial_10/Mouse Movement.csv"),
        ("1", "11_participant_session/a.csv"),
        ("7", "1,207 rows, line 7"),
    ],
)
def test_text_that_names_others_stays(name, text):
    assert not Redactor(name).names(text)


def test_files_that_are_known_are_recognised_by_their_paths():
    assert Redactor("7", ["logs/a19.txt"]).names("logs/a19.txt, line 3")


def test_only_lines_that_name_the_participant_are_removed():
    failure = Failure("BadMemberError", "anna/a.csv: bad", "Mend it.", "Traceback\n  anna/a.csv\nend", "x")
    redacted = Redactor("anna").failure(failure)
    assert redacted == Failure("BadMemberError", REDACTED, "Mend it.", f"Traceback\n{REDACTED}\nend", "x")
    assert Redactor("anna").failure(None) is None


def test_preview_loses_trials_and_issues_of_the_participant():
    assert Redactor("anna").preview(PREVIEW) == PREVIEW | {
        "trials": [["ben", 1]],
        "issues": [["ben/a.csv", 1, "artefact", "1 row"]],
    }


def test_last_name_of_a_location_tags_and_chosen_participants_are_removed():
    redactor = Redactor("5")
    assert redactor.location("/data/5/5.csv") == "/data/5/removed"
    assert redactor.location("/data/5/study.zip") == "/data/5/study.zip"
    assert redactor.tags(("5", "pilot", "phase 5")) == ("pilot", "phase 5")
    assert redactor.options({"participants": ["5", "6"], "keys": "full"}) == {"participants": ["6"], "keys": "full"}
    assert redactor.options({"participants": None}) == {"participants": None}
