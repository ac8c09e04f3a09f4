"""Run the doctests of the package in an empty folder with a home of its own."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _doctests_write_to_scratch(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    if isinstance(request.node, pytest.DoctestItem):
        folder = tmp_path_factory.mktemp("doctest")
        monkeypatch.chdir(folder)
        monkeypatch.setenv("ANALYTICS_KIT_HOME", str(folder / "home"))
