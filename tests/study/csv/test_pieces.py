"""A text in chunks: pieces of whole rows that are the text together, whatever its encoding and line ends."""

import pytest

from analytics_kit.errors import UnsafeArchiveError
from analytics_kit.study.csv import rows
from analytics_kit.study.csv.log_limits import LogLimits
from analytics_kit.study.csv.pieces import whole_rows
from analytics_kit.study.schema.issues import Issues


def pieces(raw, size, limits=LogLimits(), issues=None):  # noqa: B008  it has no state
    chunks = (raw[i : i + size] for i in range(0, len(raw), size))
    return list(whole_rows(chunks, "a.csv", issues or Issues(), limits))


@pytest.mark.parametrize("size", [7, 10, 33, 1000])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "latin-1"])
@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r"])
def test_pieces_are_the_text_cut_at_line_ends(monkeypatch, size, encoding, line_break):
    monkeypatch.setattr(rows, "LONG_LINE_BYTES", 5)
    text = "".join(f"row {i} é{line_break}" for i in range(30)) + "end"
    issues = Issues()
    found = pieces(text.encode(encoding), size, issues=issues)
    assert b"".join(found).decode() == text
    assert all(piece.endswith(line_break.encode()) for piece in found[:-1])
    assert max(map(len, found)) <= 4 * size + 20
    assert [issue.kind for issue in issues.list] == ["encoding"] * (encoding not in ("utf-8", "utf-8-sig"))


@pytest.mark.parametrize(
    ("raw", "refused"),
    [
        (b"a" * 101, True), (b"a" * 100, False), (b"x\n" + b"a" * 101 + b"\nx\n", True), (b"a\n" * 500, False),
        (b"a\r" * 500, False), (b"a\r\n" * 500, False), (b"," * 90 + b"\n" + b"b" * 99 + b"\n", False),
    ],
)  # fmt: skip
@pytest.mark.parametrize("size", [17, 64, 1000])
def test_a_longer_line_is_refused_by_name(raw, refused, size):
    limits = LogLimits(max_line_bytes=100)
    if not refused:
        pieces(raw, size, limits)
        return
    with pytest.raises(
        UnsafeArchiveError, match=r"a\.csv has a line of more than 100 bytes; the limit is 100"
    ) as error:
        pieces(raw, size, limits)
    assert "submit(…, max_line_bytes=" in error.value.hint


def test_a_text_without_line_breaks_is_not_held():
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield b"a" * 1000

    with pytest.raises(UnsafeArchiveError):
        list(whole_rows(endless(), "a.csv", Issues(), LogLimits(max_line_bytes=10_000)))
    assert taken <= 12
