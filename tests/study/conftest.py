"""Fixtures of the study room's tests: the real logs, and a study run in a folder of its own."""

import os
from pathlib import Path

import pytest
from making import Studies

SHARED_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data():
    """The real logs, read in place; they are no part of the project."""
    if not SHARED_DATA.is_dir():
        assert not os.environ.get("CI"), f"{SHARED_DATA} must be there in CI"
        pytest.skip("../shared/data is absent")
    return SHARED_DATA


@pytest.fixture
def studies(tmp_path):
    """Makes and processes studies below a folder of their own."""
    return Studies(tmp_path)


@pytest.fixture
def process(studies):
    """process(source, **options) → StudyResult."""
    return studies.process
