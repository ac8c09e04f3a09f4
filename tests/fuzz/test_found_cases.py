"""Cases that the fuzzer found, as small as it could make them."""

import pytest

from tests.fuzz.cases import Case
from tests.fuzz.fuzz import Watch, problems_of

FOUND = [
    # The last line of a log without a header was not counted when it had no line break.
    Case("balabit", 2569782397, (("drop_header", 789552358),)),
    Case("described_by_path", 3610078137, (("extra_cells", 3597787744), ("replace_cell", 316341412))),
    # Blank lines of a log without a header were counted as rows.
    Case("described_by_path", 1421901881, (("missing_cells", 1245545095), ("repeat_bytes", 1117565240))),
    Case("described_by_path", 2201887411, (("blank_lines", 2316559954),)),
]
"""Each is what `python -m tests.fuzz.fuzz` printed, with what was wrong."""


@pytest.mark.parametrize("case", FOUND, ids=lambda case: case.format)
def test_case_that_was_found_is_right_now(tmp_path, case):
    assert problems_of(case, tmp_path, Watch()) == []
