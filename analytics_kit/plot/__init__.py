"""Figures of a result, or of a DataFrame of events or trials; independent of Jupyter.

Each function returns a plotly `go.Figure`. Axes and hover texts carry units, y grows downwards as on the screen, and
the same data gives the same figure, byte for byte.
"""

from analytics_kit.plot.comparison import learning_curve, task_comparison
from analytics_kit.plot.movement import heatmap, speed_profile, trajectory
from analytics_kit.plot.timelines import keystroke_timeline, session_timeline

__all__ = [
    "heatmap",
    "keystroke_timeline",
    "learning_curve",
    "session_timeline",
    "speed_profile",
    "task_comparison",
    "trajectory",
]
