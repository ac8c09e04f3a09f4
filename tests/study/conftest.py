"""Fixtures of the study room's tests: a study run in a folder of its own, and the mouse-tracking study KH2017."""

import io
import zipfile

import pytest

from tests.study.make_study import Studies
from tests.study.step_queue import odd_members


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


@pytest.fixture(scope="session")
def kh2017(shared_data, tmp_path_factory):
    """The 60 session ZIPs as one ZIP of ZIPs, processed."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as outer:
        for path in sorted((shared_data / "kh2017_fulcrum" / "zips").glob("*.zip")):
            outer.writestr(path.name, path.read_bytes())
    return Studies(tmp_path_factory.mktemp("kh2017")).process(buffer.getvalue(), shard_bytes=200_000)
