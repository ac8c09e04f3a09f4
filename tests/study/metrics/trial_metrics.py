"""Compute the metrics of invented trials, straight from the kernels."""

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from analytics_kit.options import Options
from analytics_kit.study.events.table import EventTable, Grouped, ReadMember
from analytics_kit.study.metrics.entropy import sample_entropies
from analytics_kit.study.metrics.evaluate import SAMPLE_ENTROPY, evaluate
from analytics_kit.study.schema.keys import KEY_CLASS_CODES, classify_key

steady = settings(max_examples=200, derandomize=True, deadline=None, database=None)
ticks = st.lists(st.integers(1, 60), min_size=1, max_size=12)
pixels = st.integers(-40, 40)
KIND = {"moves": "mouse_movement", "clicks": "mouse_clicks", "scrolls": "mouse_scrolls", "keys": "keyboard"}


def make_group(kind, trials):
    """Return the events of trials, each a list of (t, x, y) or (t, key), or None if the trial has no file."""
    rows = [row for trial in trials for row in trial or ()]
    t, *rest = (
        np.array([row[:1] if kind == "keyboard" else row for row in rows], float)
        .reshape(len(rows), 1 if kind == "keyboard" else 3)
        .T.copy()
    )
    x, y = rest if rest else (np.empty(0), np.empty(0))
    codes = [KEY_CLASS_CODES[classify_key(row[1])] for row in rows] if kind == "keyboard" else []
    members = [ReadMember(str(i), i, len(trial), len(trial)) for i, trial in enumerate(trials) if trial is not None]
    group = Grouped(EventTable(kind, members, t, x, y, np.array(codes, np.int8), None), len(trials))
    group.sort_by_time()
    return group


def measure_trials(trials, **options):
    """Return {metric: array with a value per trial}; a trial is a dict with some of moves, clicks, scrolls, keys."""
    groups = {}
    for name, kind in KIND.items():
        rows = [trial.get(name) for trial in trials]
        if any(of_trial is not None for of_trial in rows):
            groups[kind] = make_group(kind, rows)
    return with_sample_entropy(evaluate(groups, len(trials), Options.of(**options)))


def with_sample_entropy(result):
    """Return the values with sample entropy, which the merge computes for a study."""
    if result.x_differences is not None:
        result.values[SAMPLE_ENTROPY] = sample_entropies(result.x_differences)
    return result.values


def measure_trial(options=None, **trial):
    """Return {metric: value} of one trial, NaN where it is NA."""
    return {name: float(values[0]) for name, values in measure_trials([trial], **(options or {})).items()}


def corner_path():
    """Return (0, -400) → (0, 400) → (-800, 400), one pixel every 10 ms, in mousetrap's y-up coordinates."""
    x = np.concatenate([np.zeros(800), np.arange(0, -801, -1.0)])
    y = np.concatenate([np.arange(-400, 400, 1.0), np.full(801, 400.0)])
    return np.arange(1601) / 100, x, y


def diagonal_path():
    """Return (0, -400) → (-800, 400), one pixel in x and y every 10 ms."""
    x = np.arange(0, -801, -1.0)
    return np.arange(801) / 100, x, np.arange(-400, 401, 1.0)


def measure_with_columns(kind, rows, **columns):
    """Return the metrics of one trial whose log has more columns than the platform's."""
    group = make_group(kind, [rows])
    for name, values in columns.items():
        setattr(group.table, name, np.array(values, getattr(group.table, name).dtype))
    return {name: float(v[0]) for name, v in with_sample_entropy(evaluate({kind: group}, 1, Options())).items()}
