"""Labels of trials and metrics, escaped and shortened."""

import pandas as pd
import pytest

from analytics_kit.plot import labels


@pytest.mark.parametrize(
    ("metric", "title"),
    [
        ("path_length_px", "path length (px)"),
        ("speed_max_px_s", "top speed (px/s)"),
        ("speed_mean_px_s", "mean speed (px/s)"),
        ("speed_max_time_s", "time of top speed (s)"),
        ("x_min_px", "smallest x (px)"),
        ("bounding_area_px2", "bounding area (px²)"),
        ("acceleration_max_px_s2", "largest acceleration (px/s²)"),
        ("click_rate_per_min", "click rate (1/min)"),
        ("keystroke_rate_per_s", "keystroke rate (1/s)"),
        ("click_hold_median_s", "median click hold (s)"),
        ("words_per_minute_net", "net words per minute"),
        ("click_count", "click count"),
        ("path_efficiency", "path efficiency"),
        ("x_flips", "x flips"),
    ],
)
def test_metric_label_has_name_and_unit(metric, title):
    assert labels.metric_label(metric).title == title


def test_every_metric_of_the_catalogue_has_a_label():
    from analytics_kit.study.metrics.catalogue import CATALOGUE

    units = {
        "px2": "px²",
        "px/s2": "px/s²",
        "nat": "",
        "keys": "",
        "count": "",
        "0-1": "",
        "ratio": "",
        "share": "",
        "wpm": "",
    }
    for metric in CATALOGUE:
        label = labels.metric_label(metric.name)
        assert label.unit == units.get(metric.unit, metric.unit), metric.name
        assert "_" not in label.title


def test_names_are_shortened_before_signs_are_replaced():
    assert labels.safe_text("<" * 40) == "&lt;" * 21 + "…" + "&lt;" * 10
    assert labels.safe_text("a\n b\t$c") == "a b &#36;c"
    assert labels.safe_text("&lt;") == "&amp;lt;"


def test_long_names_that_differ_at_their_ends_stay_apart():
    assert labels.safe_text("the same beginning of a very long name, A").endswith("name, A")
    assert len(labels.safe_text("long " * 20)) == 32
    assert len(labels.safe_text("long " * 20, 14)) == 14
    assert labels.safe_text("x" * 32) == "x" * 32


def test_name_of_a_column_is_escaped():
    assert labels.name_text("<b>", "x") == "&lt;b&gt; x"
    assert labels.name_text("a_<b>", None) == "unknown a &lt;b&gt;"


def test_labels_have_what_trials_share_and_in_what_they_differ():
    trials = pd.DataFrame(
        {"participant": ["3", "3"], "session": ["3", "3"], "task": ["A", None], "trial": [1.0, 2.0]}
    )  # fmt: skip
    assert labels.selection_label(trials) == "participant 3, 2 tasks, 2 trials"
    assert labels.trial_labels(trials) == ["A, trial 1", "unknown task, trial 2"]
    assert labels.selection_label(trials.head(1)) == "participant 3, A, trial 1"
    assert labels.trial_labels(trials.head(1)) == ["participant 3, A, trial 1"]
    assert labels.selection_label(trials[[]].head(1)) == ""
