"""Name the columns of the tables, and define limits and codes of their values."""

from __future__ import annotations

import numpy as np

from analytics_kit.event_format import TRIAL_KEYS

TRIAL_COLUMNS = (*TRIAL_KEYS, "trial_order")
"""The columns that name a trial; the metrics follow them in the trials table."""

PREVIEW_COLUMNS = (
    "participant", "task", "factor", "trial", "click_count", "keystroke_count", "completion_time_s", "path_length_px",
)  # fmt: skip
"""The columns of the trials table to show where only a few fit."""

EVENT_COLUMNS = {
    "mouse_movement": ("t_s", "x_px", "y_px"),
    "mouse_clicks": ("t_s", "x_px", "y_px", "action"),
    "mouse_scrolls": ("t_s", "x_px", "y_px"),
    "mouse_unknown": ("t_s", "x_px", "y_px"),
    "keyboard": ("t_s", "key", "key_class", "action"),
}
"""The columns of the event table of each kind, after those that name the trial."""

TRIAL_INDEX = "trial_index"
"""The column of stored events with the index of their row in the trials table."""

SCREEN_LIMIT_PX = 32767
"""No screen has a coordinate beyond it. Larger ones are kept and flagged as artefacts."""

PRESS, RELEASE = np.int8(0), np.int8(1)
"""The codes of `EventTable.action`."""
