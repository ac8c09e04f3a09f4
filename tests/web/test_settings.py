"""Settings of the server: read as those of a client are, without revealing secrets."""

import pytest

from analytics_kit.errors import SettingsError
from analytics_kit.web.settings import ServerSettings


def test_defaults():
    settings = ServerSettings.of(home="/nowhere")
    assert (settings.data, settings.origins, settings.proxies) == (None, (), 0)
    assert settings.require_token


def test_settings_are_read_from_the_environment(monkeypatch):
    monkeypatch.setenv("ANALYTICS_KIT_DATA", "/data")
    monkeypatch.setenv("ANALYTICS_KIT_ORIGINS", "https://a.example, https://b.example")
    monkeypatch.setenv("ANALYTICS_KIT_TOKEN", "one-0123456789abcdef")
    settings = ServerSettings.of()
    assert settings.data == "/data"
    assert settings.origins == ("https://a.example", "https://b.example")
    assert "0123456789" not in repr(settings)


@pytest.mark.parametrize(("name", "value"), [("proxies", -1), ("waiting_limit", 0), ("answer_limit_s", -1)])
def test_an_invalid_setting_is_named(name, value):
    with pytest.raises(SettingsError, match=f"ANALYTICS_KIT_{name.upper()}"):
        ServerSettings.of(**{name: value})
