"""Name the columns of the tables."""

from __future__ import annotations

import numpy as np

TRIAL_COLUMNS = ("participant", "session", "task", "factor", "trial", "trial_order")


PREVIEW_COLUMNS = (
    "participant", "task", "factor", "trial", "click_count", "keystroke_count", "completion_time_s", "path_length_px",
)  # fmt: skip
"""Columns of the trials table that are shown where there is room for a few."""


EVENT_COLUMNS = {
    "mouse_movement": ("t_s", "x_px", "y_px"),
    "mouse_clicks": ("t_s", "x_px", "y_px", "action"),
    "mouse_scrolls": ("t_s", "x_px", "y_px"),
    "mouse_unknown": ("t_s", "x_px", "y_px"),
    "keyboard": ("t_s", "key", "key_class", "action"),
}
"""Columns of an event table of each kind, after the columns that name the trial."""


TRIAL_INDEX = "trial_index"
"""The column of stored events that says which row of the trials table they belong to."""


SCREEN_LIMIT_PX = 32767
"""No screen has a coordinate beyond it; what is there is kept and said to be doubtful."""


PRESS, RELEASE = np.int8(0), np.int8(1)
