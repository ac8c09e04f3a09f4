"""Handmade events, and the result of a sample study."""

import numpy as np
import pandas as pd
import pytest

import analytics_kit as ak
from tests.study.make_study import Studies

TRIAL = {"participant": "1", "session": "1", "task": "Search", "factor": "Calm", "trial": 1, "trial_order": 1}


@pytest.fixture(scope="session")
def events():
    """events(kind, rows, **names): a trial from rows of (t_s, x_px, y_px[, action]) or (t_s, key_class)."""

    def make(kind, rows, **names):
        columns = ["t_s", "key_class"] if kind == "keyboard" else ["t_s", "x_px", "y_px", "action"][: len(rows[0])]
        return pd.DataFrame(rows, columns=columns).assign(kind=kind, **TRIAL | names)

    return make


@pytest.fixture
def movement(events):
    """One trial: steps of 30, 40 and 50 px, a tenth of a second each."""
    return events("mouse_movement", [(0.0, 100, 100), (0.1, 130, 100), (0.2, 130, 140), (0.3, 130, 190)])


@pytest.fixture(scope="session")
def result(tmp_path_factory):
    """24 trials of two participants, on a screen of 1920 by 1080 px."""
    folder = tmp_path_factory.mktemp("figures")
    return Studies(folder).process(ak.sample_study(folder / "sample.zip", participants=2, trials=3, seed=1))


@pytest.fixture(scope="session")
def million():
    """A million movement rows of 300 trials."""
    rng = np.random.default_rng(0)
    n, trials = 1_000_000, 300
    steps = rng.integers(-20, 21, (2, n))
    trial = np.repeat(np.arange(trials), -(-n // trials))[:n]
    x, y = steps.cumsum(axis=1)
    return pd.DataFrame({"participant": "1", "trial": trial, "t_s": np.arange(n) * 0.01, "x_px": x, "y_px": y})


@pytest.fixture(scope="session")
def figure_text():
    """figure_text(figure): title, notes and annotations as one text."""

    def read(figure):
        title = figure.layout.title
        texts = [title.text, title.subtitle.text, *(note.text for note in figure.layout.annotations)]
        return " ".join(text for text in texts if text).replace("<br>", " ")

    return read
