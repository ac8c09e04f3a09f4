"""A made-up result of six trials to explore."""

import pandas as pd

NAMES = ["participant", "session", "task", "factor", "trial", "trial_order"]
TRIALS = [
    ("1", "1", "Form", "Calm", 2, 1),
    ("1", "1", "Form", "Busy", 1, 3),
    ("1", "1", "Search", "Calm", 1, 2),
    ("2", "2", "Search", "Calm", 1, pd.NA),
    (None, "3", "Search", None, pd.NA, 1),
    (None, "4", "Search", None, pd.NA, 1),
]


class FakeResult:
    """Six trials; participant, factor and number of two of them are unknown."""

    def __init__(self, rows=TRIALS):
        table = pd.DataFrame(rows, columns=NAMES).astype({"trial": "Int64", "trial_order": "Int64"})
        counts = pd.array([1234567, 0, pd.NA, 1, 2, 3][: len(rows)], dtype="Int64")
        lengths = [1234.5678, 12.345678, None, 3.0, 0.5, -0.0][: len(rows)]
        self.trials = table.assign(click_count=counts, path_length_px=pd.array(lengths, dtype="float64"))
        self.kinds = ["mouse_movement"]
        self.queries = []

    def events(self, kind, *, participant=None, task=None, factor=None, trial=None, columns=None):
        """Return n + 2 rows at x = n for the nth trial."""
        self.queries.append((participant, task, factor, trial))
        for value in (participant, task, factor, trial):
            assert value is None or not pd.isna(value), "events() takes no NA"
        times = pd.DataFrame({"t_s": [0.1 * step for step in range(10)]})
        rows = self.trials[NAMES].assign(x_px=[float(n) for n in range(len(self.trials))])
        table = rows.merge(times, how="cross").assign(y_px=lambda each: each["t_s"] * 100)
        table = table[table["t_s"] < 0.1 * (table["x_px"] + 2) - 0.01]
        for name, value in {"participant": participant, "task": task, "factor": factor, "trial": trial}.items():
            if value is not None:
                table = table[(table[name] == value).fillna(False)]
        return table.reset_index(drop=True)
