"""Small files that cost much: they are processed in little memory, or refused by name; no row goes missing."""

import json
import os
import subprocess
import sys
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import analytics_kit as ak
from analytics_kit.errors import UnsafeArchiveError
from analytics_kit.study.archive import base as archive_base
from tests.study.make_study import KEYS, MOUSE, Studies, balance, folder, mouse, zip_bytes

GOOD = f"{folder(trial=1)}/Mouse Movement.csv"
FILE, KEY_FILE = f"{folder(trial=2)}/Mouse Movement.csv", f"{folder(trial=2)}/Keyboard Inputs.csv"
ROWS = mouse((0.1, 1, 2), (0.2, 3, 4))
QUOTED = '"Time","running_time","x","y"\n'
DESCRIBED = ak.EventFormat(
    columns={"participant": "subject", "t": "ms", "x": "px", "y": "py"}, time_unit="ms", kind="mouse_movement"
)

LINES = [
    "a\n", "\n", " \n", "\t\r\n", "a\r", '"\n', '",,,\n', '"a"b,,,\n', "\0\n", "\0", ",,,,,,\n", ",1e0,1,1\n",
    ",\u0661,1,1\n", "é\n", "\u3000\n", '"10:00:00","0.10","5","7"\n', ",0,1,1\n", ",1e999,1,1\n", ";0,1;1;1\n",
    ",,,", '"', "10:00:00,0.10,5,7,\n", '"a\nb",0,1,1\n', ",0,1,1\r\n", "1,2,3,4\n",
]  # fmt: skip
HEADERS = [MOUSE, MOUSE.replace("\n", "\r\n"), QUOTED, MOUSE.replace(",", ";"), "\n\n" + MOUSE, "", "a,b\n", KEYS]
texts = st.lists(st.tuples(st.sampled_from(LINES), st.sampled_from([1, 2, 3, 40])), max_size=6).map(
    lambda blocks: "".join(line * count for line, count in blocks)
)
files = st.tuples(
    st.sampled_from([FILE, KEY_FILE, f"{folder(trial=3)}/Mouse Clicks.csv"]), st.sampled_from(HEADERS), texts,
    st.sampled_from(["utf-8", "utf-8", "utf-8", "utf-16", "latin-1"]),
)  # fmt: skip


@settings(deadline=None, max_examples=int(os.environ.get("EXAMPLES", "60")), derandomize=True, database=None)
@given(st.lists(files, min_size=1, max_size=4), st.booleans(), st.sampled_from([200, 1 << 24]))
def test_rows_in_are_rows_kept_and_dropped(tmp_path_factory, members, keep_keys, chunk_bytes):
    members = [
        (GOOD, ROWS),
        *((name, (header + text).encode(code, "replace")) for name, header, text, code in members),
    ]
    studies = Studies(tmp_path_factory.mktemp("study"))
    with pytest.MonkeyPatch.context() as patch:
        for module in ("analytics_kit.study.events.native.reader", "analytics_kit.study.archive.zip_archive"):
            patch.setattr(f"{module}.CHUNK_BYTES", chunk_bytes)
        result = studies.process(zip_bytes(members), keys="full" if keep_keys else "class")
    rows_in, rows_kept, rows_dropped = balance(result)
    assert rows_in == rows_kept + rows_dropped
    assert rows_kept == sum(result.summary["events"].values())


@settings(deadline=None, max_examples=40, derandomize=True, database=None)
@given(texts, st.sampled_from(["utf-8", "utf-16", "latin-1"]))
def test_rows_in_of_described_logs_are_rows_kept_and_dropped(tmp_path_factory, text, encoding):
    raw = ("subject,ms,px,py\na,1,2,3\n" + text).encode(encoding, "replace")
    result = Studies(tmp_path_factory.mktemp("study")).process(zip_bytes({"log.csv": raw}), format=DESCRIBED)
    rows_in, rows_kept, rows_dropped = balance(result)
    assert rows_in == rows_kept + rows_dropped
    assert rows_kept == sum(result.summary["events"].values())


MEASURED = """
import json, re, sys
import analytics_kit as ak
from analytics_kit.study.pipeline import warmup
warmup.warm()
client = ak.connect("local", home=sys.argv[1])
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) // 1024
before, outcomes = peak(), []
for path in sys.argv[2:]:
    try:
        summary = client.process(path).summary
        outcomes.append([summary["rows_in"], summary["rows_kept"], summary["rows_dropped"]])
    except ak.UnsafeArchiveError as error:
        outcomes.append(error.message)
print(json.dumps([peak() - before, outcomes]))
"""
MB16 = 16 << 20


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory from /proc")
def test_65_kilobytes_take_little_memory(tmp_path):
    contents = {
        "commas": MOUSE + "," * 20_000_000 + "\n",
        "header of commas": "," * 16_000_000 + "\n" + ROWS,
        "no line break": MOUSE + "1" * (2 * MB16),
        "commas and bad rows": MOUSE + "," * 9_000_000 + "\n" + "a\n" * 3_000_000,
        "bad rows": MOUSE + "a\n" * (MB16 // 2),
        "blank lines": MOUSE + "\n" * MB16,
        "quoted cells": MOUSE + '"10:00:00","0","5","7"\n' * (MB16 // 24),
    }
    paths = []
    for name, content in contents.items():
        path = tmp_path / f"{name}.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
            archive.writestr(GOOD, ROWS)
            archive.writestr(FILE, content)
            archive.writestr(zipfile.ZipInfo("ballast.png"), os.urandom(100_000))
        paths.append(str(path))
    run = subprocess.run(
        [sys.executable, "-c", MEASURED, str(tmp_path / "home"), *paths], capture_output=True, text=True, check=True
    )
    megabytes, outcomes = json.loads(run.stdout)
    found = dict(zip(contents, outcomes, strict=True))
    assert "has a line of more than 16.8 MB; the limit is 16.8 MB (max_line_bytes)" in found["commas"]
    assert "has a header of 16,000,001 columns; the limit is 10,000 (max_columns)" in found["header of commas"]
    assert "max_line_bytes" in found["no line break"]
    assert found["commas and bad rows"] == [3_000_003, 2, 3_000_001]
    assert found["bad rows"] == [MB16 // 2 + 2, 2, MB16 // 2]
    assert found["blank lines"] == [2, 2, 0]
    assert found["quoted cells"] == [MB16 // 24 + 2, MB16 // 24 + 2, 0]
    assert megabytes < 300


@pytest.mark.parametrize(
    ("members", "options", "message"),
    [
        ({FILE: MOUSE + "1" * 500}, {"max_line_bytes": 400}, "has a line of more than 400 bytes; .*max_line_bytes"),
        ({FILE: "Time;x\n" + "1" * 500}, {"max_line_bytes": 400}, "max_line_bytes"),
        ({FILE: MOUSE[:-1] + ",a" * 10 + "\n"}, {"max_columns": 13}, r"has a header of 14 columns; the limit is 13"),
        (
            {GOOD: ROWS, FILE: ROWS},
            {"max_directory_bytes": 200},
            r"study.zip has a directory of \d+ bytes; the limit",
        ),
    ],
)
def test_a_log_beyond_a_limit_is_refused_by_name(process, members, options, message):
    with pytest.raises(UnsafeArchiveError, match=message) as error:
        process({GOOD: ROWS, **members}, **options)
    assert f"submit(…, {next(iter(options))}=" in error.value.hint


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_log_bytes": 50}, "log.csv has 108 bytes, and its format is read whole; the limit is 50 bytes"),
        ({"max_log_rows": 9}, "log.csv has 13 lines, and its format is read whole; the limit is 9"),
        ({"max_columns": 3}, "log.csv has a header of 4 columns"),
        ({"max_line_bytes": 15}, "log.csv has a line of more than 15 bytes"),
        ({"max_trials": 5}, "study.zip has more than 5 trials"),
    ],
)
def test_a_described_log_beyond_a_limit_is_refused_by_name(process, options, message):
    content = "subject,ms,px,py\n" + "".join(f"{i},{i},1,1\n" for i in range(11)) + "\n"
    with pytest.raises(UnsafeArchiveError, match=message) as error:
        process({"log.csv": content}, format=DESCRIBED, **options)
    assert f"submit(…, {next(iter(options))}=" in error.value.hint


def test_500_columns_are_read(process):
    header = MOUSE[:-1] + "".join(f",c{i}" for i in range(496)) + "\n"
    result = process({GOOD: header + ("10:00:00,0.10,5,7" + ",0" * 496 + "\n") * 20})
    assert balance(result) == (20, 20, 0)


def test_surveys_and_manifests_of_too_many_cells_are_left_out(process, monkeypatch):
    monkeypatch.setattr(archive_base, "SHORT_FILE_COLUMNS", 50)
    monkeypatch.setattr(archive_base, "SHORT_FILES_BYTES", 2_000)
    survey = "1_participant_session/Mood_survey"
    result = process({
        GOOD: ROWS, "manifest.csv": "id,kind\n" + "," * 60, f"{survey}/wide.csv": "q,r\n" + "a," * 60,
        f"{survey}/long.csv": "q\n" + "a\n" * 850, f"{survey}/more.csv": "q\n" + "a\n" * 90,
        f"{survey}/a.csv": "q\n1\n",
    })  # fmt: skip
    issues = {row.member: row.message for row in result.issues.itertuples()}
    assert "it has a line of 61 cells, where such a file may have 50" in issues["manifest.csv"]
    assert "it has a line of 61 cells" in issues[f"{survey}/wide.csv"]
    assert "surveys of a study may have 2,000 bytes together" in issues[f"{survey}/more.csv"]
    assert {*result.surveys.member} == {f"{survey}/long.csv", f"{survey}/a.csv"}
