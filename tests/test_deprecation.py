"""Former names of attributes work, warn, and are the same as the new ones."""

import pytest

import analytics_kit as ak


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("known", "last_known"),
        ("learn", "update"),
        ("shown", "snapshot"),
        ("reason", "backend_notice"),
        ("client", "client_name"),
    ],
)
def test_former_attribute_of_a_job_warns_and_is_the_new_one(job, old, new):
    with pytest.warns(DeprecationWarning, match=rf"Job\.{old} is deprecated .* use Job\.{new}\."):
        value = getattr(job, old)
    assert value == getattr(job, new)


def test_former_attribute_of_a_client_warns_and_is_the_new_one(tmp_path):
    client = ak.connect("local", home=tmp_path)
    with pytest.warns(DeprecationWarning, match=r"Client\.called is deprecated") as caught:
        assert client.called == client.client_name
    client.close()
    assert caught[0].filename == __file__


def test_setting_a_former_attribute_warns_and_sets_the_new_one(tmp_path):
    with ak.Client("local", home=tmp_path) as client:
        with pytest.warns(DeprecationWarning, match=r"use Client\.client_name") as caught:
            client.called = "lab"
        assert client.client_name == "lab"
    assert caught[0].filename == __file__


def test_error_inside_a_property_is_not_hidden(job, monkeypatch):
    monkeypatch.setattr(job.watcher.backend, "get", lambda job_id: job_id.nothing)
    with pytest.raises(AttributeError, match="'str' object has no attribute 'nothing'"):
        job.status  # noqa: B018
