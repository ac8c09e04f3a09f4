"""Former names of attributes work, warn, and are the same as the new ones."""

import pytest

import analytics_kit as ak
from analytics_kit.job import RENAMED_ATTRIBUTES


@pytest.mark.parametrize(("old", "new"), RENAMED_ATTRIBUTES.items())
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


def test_unknown_attribute_is_an_attribute_error(job):
    with pytest.raises(AttributeError, match="'Job' object has no attribute 'resullt'"):
        job.resullt  # noqa: B018
