"""Options of `submit` and `process`: checked before anything is done, with the nearest known name."""

import pytest

import analytics_kit as ak


@pytest.fixture
def client(tmp_path):
    with ak.connect("local", home=tmp_path / "home") as client:
        yield client


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return ak.sample_study(tmp_path_factory.mktemp("study") / "s.zip", participants=1, trials=1)


@pytest.mark.parametrize("verb", ["submit", "process"])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": ["path_length_px"]}, "Unknown option 'metric'. Did you mean 'metrics'"),
        ({"metrics": ["path_lenght_px"]}, "no metric 'path_lenght_px'. Did you mean 'path_length_px'"),
        ({"keys": "none"}, "'keys' can't be 'none'"),
        ({"idle_gap_s": 0}, "'idle_gap_s' can't be 0"),
        ({"idle_gap_s": float("nan")}, "'idle_gap_s' can't be nan"),
        ({"on_error": "ignore"}, "'on_error' can't be 'ignore'"),
        ({"kinds": {"1": "mouse"}}, "'kinds' can't be 'mouse'"),
    ],
)
def test_refused(client, study, verb, options, message):
    with pytest.raises(ak.SettingsError, match=message):
        getattr(client, verb)(study, **options)
    assert client.jobs().empty


def test_one_name_may_stand_for_a_list():
    assert ak.Options.of(participants=3, tasks="Search").participants == ("3",)


def test_json_round_trip():
    options = ak.Options.of(participants=["1"], kinds={"7": "keyboard"}, metrics=["path_length_px"], idle_gap_s=0.3)
    assert ak.Options.of(**options.to_json()) == options


def test_metrics_choose_columns(client, study):
    trials = client.process(study, metrics=["path_length_px", "click_count"]).trials
    assert list(trials.columns[6:]) == ["path_length_px", "click_count"]


def test_thresholds_reach_the_metrics_and_the_provenance(client, study):
    plain, wide = client.process(study), client.process(study, idle_gap_s=1.0)
    assert (wide.trials["idle_time_s"] < plain.trials["idle_time_s"]).all()
    assert wide.provenance["options"]["idle_gap_s"] == 1.0
