"""The settings of the server: read as those of a client, and no secret shown."""

import pytest

from analytics_kit.errors import SettingsError
from analytics_kit.web.settings import ServerSettings


def test_what_is_set_by_default():
    settings = ServerSettings.of(home="/nowhere")
    assert (settings.data, settings.origins, settings.proxies) == (None, (), 0)
    assert settings.require_token


def test_the_environment_is_read(monkeypatch):
    monkeypatch.setenv("ANALYTICS_KIT_DATA", "/data")
    monkeypatch.setenv("ANALYTICS_KIT_ORIGINS", "https://a.example, https://b.example")
    monkeypatch.setenv("ANALYTICS_KIT_TOKEN", "one-0123456789abcdef")
    settings = ServerSettings.of()
    assert settings.data == "/data"
    assert settings.origins == ("https://a.example", "https://b.example")
    assert "0123456789" not in repr(settings)


@pytest.mark.parametrize(("name", "value"), [("proxies", -1), ("waiting_limit", 0), ("answer_limit_s", -1)])
def test_what_can_not_be_is_named(name, value):
    with pytest.raises(SettingsError, match=f"ANALYTICS_KIT_{name.upper()}"):
        ServerSettings.of(**{name: value})
