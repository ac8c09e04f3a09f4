"""Fixtures: studies processed in a folder of their own, and the mouse-tracking study KH2017."""

import io
import zipfile

import pytest

from tests.study.make_study import Studies
from tests.study.step_queue import odd_members


@pytest.fixture
def studies(tmp_path):
    """Return a maker of studies below a temporary folder."""
    return Studies(tmp_path)


@pytest.fixture
def process(studies):
    """Return a function (source, **options) → StudyResult."""
    return studies.process


@pytest.fixture
def odd(studies):
    """Return the path of a small study with many irregularities."""
    return studies.zip(odd_members())


@pytest.fixture(scope="session")
def kh2017(shared_data, tmp_path_factory):
    """Return the result of the 60 session ZIPs as one ZIP of ZIPs."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as outer:
        for path in sorted((shared_data / "kh2017_fulcrum" / "zips").glob("*.zip")):
            outer.writestr(path.name, path.read_bytes())
    return Studies(tmp_path_factory.mktemp("kh2017")).process(buffer.getvalue(), shard_bytes=200_000)
