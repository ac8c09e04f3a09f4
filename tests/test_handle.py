"""Handles of jobs and clients can't be pickled or copied, and say what to do instead."""

import copy
import pickle

import pytest

import analytics_kit as ak


@pytest.fixture
def client(tmp_path):
    with ak.connect("local", home=tmp_path / "home") as client:
        yield client


@pytest.fixture
def job(client, tmp_path):
    return client.submit(ak.sample_study(tmp_path / "study.zip", participants=1, trials=1))


@pytest.mark.parametrize("how", [pickle.dumps, copy.copy, copy.deepcopy], ids=lambda how: how.__name__)
class TestPickling:
    def test_job_says_to_use_its_id(self, job, how):
        with pytest.raises(TypeError, match=r"A Job can't be pickled or copied.*get_job\(id\)"):
            how(job)
        with pytest.raises(TypeError, match="A Job can't be pickled"):
            how({"jobs": [job]}) if how is not copy.copy else how(job)

    def test_client_says_to_connect_anew(self, client, how):
        with pytest.raises(TypeError, match=r"A Client can't be pickled or copied.*connect\(\)"):
            how(client)

    def test_parts_of_them_refuse_too(self, client, how):
        for each in (client.backend, client._watcher):
            with pytest.raises(TypeError, match=f"A {type(each).__name__} can't be pickled"):
                how(each)


def test_result_is_a_value_that_can_be_pickled(job):
    result = job.result(timeout=60)
    copied = pickle.loads(pickle.dumps(result))  # noqa: S301  our own bytes
    assert copied.trials.equals(result.trials)
    assert copy.deepcopy(result).summary == result.summary
