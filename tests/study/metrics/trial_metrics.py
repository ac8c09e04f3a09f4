"""Metrics of one made-up trial, straight from the kernels."""

import numpy as np

from analytics_kit.options import Options
from analytics_kit.study.events.table import EventTable, Grouped, MemberRows
from analytics_kit.study.metrics.entropy import sample_entropies
from analytics_kit.study.metrics.evaluate import SAMPLE_ENTROPY, evaluate
from analytics_kit.study.schema.keys import KEY_CLASS_CODES, classify_key

KIND = {"moves": "mouse_movement", "clicks": "mouse_clicks", "scrolls": "mouse_scrolls", "keys": "keyboard"}


def group(kind, trials):
    """The events of some trials, each a list of (t, x, y) or (t, key), or None where there is no file."""
    rows = [row for trial in trials for row in trial or ()]
    t, *rest = (
        np.array([row[:1] if kind == "keyboard" else row for row in rows], float)
        .reshape(len(rows), 1 if kind == "keyboard" else 3)
        .T.copy()
    )
    x, y = rest if rest else (np.empty(0), np.empty(0))
    codes = [KEY_CLASS_CODES[classify_key(row[1])] for row in rows] if kind == "keyboard" else []
    members = [MemberRows(str(i), i, len(trial), len(trial)) for i, trial in enumerate(trials) if trial is not None]
    made = Grouped(EventTable(kind, members, t, x, y, np.array(codes, np.int8), None), len(trials))
    made.sort_by_time()
    return made


def measured_all(trials, **options):
    """{metric: array with a value per trial}; a trial is a dict with some of moves, clicks, scrolls and keys."""
    groups = {}
    for name, kind in KIND.items():
        parts = [trial.get(name) for trial in trials]
        if any(part is not None for part in parts):
            groups[kind] = group(kind, parts)
    return settled(evaluate(groups, len(trials), Options.of(**options)))


def settled(result):
    """The values as the merge would settle them."""
    if result.x_differences is not None:
        result.values[SAMPLE_ENTROPY] = sample_entropies(result.x_differences)
    return result.values


def measured(options=None, **trial):
    """{metric: value} of one trial, NaN where it is NA."""
    return {name: float(values[0]) for name, values in measured_all([trial], **(options or {})).items()}
