"""The README's example gives the output that the README shows."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from analytics_kit.backends import embedded
from analytics_kit.settings import Settings

README = Path(__file__).parents[1] / "README.md"
EXAMPLE = re.compile(r"<!-- example -->\n```python\n(.*?)```\n<!-- output -->\n```text\n(.*?)```", re.DOTALL)


@pytest.fixture
def home(tmp_path):
    """A home whose embedded broker is gone afterwards."""
    yield tmp_path / "home"
    embedded.stop(Settings.of(home=tmp_path / "home"))


def test_the_tests_that_the_table_of_promises_names_are_there():
    text = (README.parent / "docs" / "reliability.md").read_text()
    tests = README.parent / "tests"
    named = re.findall(r"`([\w/]*test_\w+\.py)(?:::(\w+))?`", text)
    assert len(named) > 20
    for path, name in named:
        found = list(tests.rglob(path))
        assert found, path
        assert name in found[0].read_text(), f"{path}::{name}"


def test_the_pictures_are_there_and_small():
    pictures = re.findall(r"!\[(.+?)\]\((.+?)\)", README.read_text())
    assert len(pictures) == 2
    for _, path in pictures:
        picture = (README.parent / path).read_bytes()
        assert picture.startswith(b"\x89PNG")
        assert len(picture) < 60_000


def test_example(tmp_path, home):
    code, output = EXAMPLE.search(README.read_text()).groups()
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("REDIS_", "ANALYTICS_KIT_"))
    }
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path, env=inherited | {"ANALYTICS_KIT_HOME": str(home)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (run.stderr, run.returncode) == ("", 0)
    assert run.stdout == output
