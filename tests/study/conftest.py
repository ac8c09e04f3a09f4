"""Fixtures of the study room's tests: a study run in a folder of its own."""

import pytest
from making import Studies
from steps import odd_members


@pytest.fixture
def studies(tmp_path):
    """Makes and processes studies below a folder of their own."""
    return Studies(tmp_path)


@pytest.fixture
def process(studies):
    """process(source, **options) → StudyResult."""
    return studies.process


@pytest.fixture
def odd(studies):
    """Path of a small study in which much is odd."""
    return studies.zip(odd_members())
