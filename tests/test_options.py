"""Options of `submit` and `process`: wrong ones fail at once, by name, with the nearest right one."""

from textwrap import indent

import pytest

import analytics_kit as ak
from analytics_kit.errors import SettingsError
from analytics_kit.options import Options


@pytest.fixture
def client(tmp_path):
    with ak.connect("local", home=tmp_path / "home") as client:
        yield client


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return ak.sample_study(tmp_path_factory.mktemp("study") / "s.zip", participants=1, trials=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"participant": 1}, "Unknown option 'participant'. Did you mean 'participants'?"),
        ({"on_eror": "skip"}, "Unknown option 'on_eror'. Did you mean 'on_error'?"),
        ({"idle_gap": 0.1}, "Unknown option 'idle_gap'. Did you mean 'idle_gap_s'?"),
        ({"zzz": 1}, "Unknown option 'zzz'."),
        ({"keys": "all"}, "Option 'keys' can't be 'all'"),
        ({"on_error": "ignore"}, "Option 'on_error' can't be 'ignore'"),
        ({"idle_gap_s": 0}, "Option 'idle_gap_s' can't be 0"),
        ({"idle_gap_s": float("nan")}, "Option 'idle_gap_s' can't be nan"),
        ({"hover_gap_s": float("inf")}, "Option 'hover_gap_s' can't be inf"),
        ({"kinds": {"1": "mouse"}}, "Option 'kinds' can't be 'mouse'"),
        ({"metrics": {"a": 1}}, "Option 'metrics' can't be"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(SettingsError) as caught:
        Options.of(**options)
    assert message in caught.value.message
    assert caught.value.hint


def test_two_wrong_options_are_both_named():
    with pytest.raises(SettingsError, match=r"'partcipants'.*'taks'"):
        Options.of(partcipants=1, taks=2)


@pytest.mark.parametrize("verb", ["submit", "process"])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": ["path_length_px"]}, "Unknown option 'metric'. Did you mean 'metrics'"),
        ({"metrics": ["path_lenght_px"]}, "no metric 'path_lenght_px'. Did you mean 'path_length_px'"),
    ],
)
def test_both_verbs_refuse_before_anything_is_done(client, study, verb, options, message):
    with pytest.raises(SettingsError, match=message):
        getattr(client, verb)(study, **options)
    assert client.jobs().empty


@pytest.mark.parametrize(
    ("given", "kept"), [("1", ("1",)), (1, ("1",)), ([1, "2"], ("1", "2")), (("a",), ("a",)), (None, None)]
)
def test_names_may_be_one_or_many(given, kept):
    assert Options.of(participants=given).participants == kept


def test_options_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        Options().keys = "full"


def test_options_survive_json():
    options = Options.of(
        participants=[1], kinds={"7": "keyboard"}, idle_gap_s=0.25, metrics="click_count", keys="full"
    )
    assert Options.of(**options.to_json()) == options
    assert Options.of(**Options().to_json()) == Options()


def test_metrics_choose_columns(client, study):
    trials = client.process(study, metrics=["path_length_px", "click_count"]).trials
    assert list(trials.columns[6:]) == ["path_length_px", "click_count"]


def test_thresholds_reach_the_metrics_and_the_provenance(client, study):
    plain, wide = client.process(study), client.process(study, idle_gap_s=1.0)
    assert (wide.trials["idle_time_s"] < plain.trials["idle_time_s"]).all()
    assert wide.provenance["options"]["idle_gap_s"] == 1.0


def test_help_lists_every_option_with_its_meaning():
    for name, field in Options.model_fields.items():
        assert f"{name}={field.default!r}\n{indent(field.description, '    ')}\n" in Options.__doc__
        assert field.description
