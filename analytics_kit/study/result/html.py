"""Render a result for a notebook: counts, losses, and the first trials."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from analytics_kit.study.schema.columns import PREVIEW_COLUMNS
from analytics_kit.visible_text import visible, visible_html


def result_html(summary: Mapping[str, Any], provenance: Mapping[str, Any], trials: pd.DataFrame) -> str:
    """Return a few lines and a table as HTML; the format of the log is named unless it is the platform's own."""
    s = summary
    name, why = provenance["format"], provenance.get("format_chosen", "")
    log = "" if name == "fulcrum" else f"Log format {visible_html(name)}, {visible_html(why)}.<br>"
    events = " · ".join(f"{visible_html(kind.replace('_', ' '))} {rows:,}" for kind, rows in s["events"].items())
    loss = f"{s['issues']:,} issues, {s['rows_dropped']:,} of {s['rows_in']:,} rows dropped: see <code>issues</code>"
    head = trials[[name for name in PREVIEW_COLUMNS if name in trials.columns]].head()
    texts: list[str] = list(head.select_dtypes("str"))
    for column in texts:
        head = head.assign(**{column: head[column].map(visible, na_action="ignore")})
    return (
        f"<p><b>Study result</b>: {s['participants']:,} participants, {s['tasks']:,} tasks, "
        f"{s['factors']:,} factors, {s['trials']:,} trials<br>{log}{events or 'No events.'}<br>"
        f"{loss if s['issues'] else 'No issues.'}</p>"
        f"{head.to_html(index=False, border=0, float_format='{:,.1f}'.format)}"
        f"<p>The first {len(head)} of {s['trials']:,} rows of <code>trials</code>, some of its columns</p>"
    )
