"""Doctests of the package: offline, in a folder of their own, on the backend that is this process."""

import pytest

collect_ignore = ["analytics_kit/study/formats/log_format.py"]


@pytest.fixture(autouse=True)
def _doctests_run_offline(request, monkeypatch, tmp_path):
    """Give each doctest its own folder and default client; nothing that an example starts outlives it."""
    if not isinstance(request.node, pytest.DoctestItem):
        yield
        return
    from analytics_kit import api

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ANALYTICS_KIT_BACKEND", "local")
    monkeypatch.setenv("ANALYTICS_KIT_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(api, "_default", None)
    yield
    if api._default is not None:
        api._default.close()
