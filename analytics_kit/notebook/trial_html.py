"""Render a trial of a result as HTML: the lists to choose it by, its figures, its metrics, and the code for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from analytics_kit.job_text import count
from analytics_kit.notebook.explorer_model import (
    FIGURE_HEIGHT_PX,
    NAME_COLUMNS,
    Explorer,
    NameOption,
    RenderedFigure,
)
from analytics_kit.visible_text import visible_html as escape

STEP_BUTTONS = {"previous": "← Previous", "next": "Next →"}


def render_live(
    explorer: Explorer,
    names: Mapping[str, Sequence[NameOption]],
    figures: Mapping[str, RenderedFigure],
    note: str = "",
) -> str:
    """Return the panel; `names` are all names of each column, `figures` the trial's figures by name."""
    parts = [_controls(explorer, names), f'<div class="ak-head"><b>{escape(title(explorer))}</b></div>']
    parts += [f'<div class="ak-note">{escape(note)}</div>'] if note else []
    grid = "".join(_figure(name, figure, explorer.name) for name, figure in figures.items())
    if grid:
        parts.append(f'<div class="ak-figures">{grid}{_scrolled_table(explorer)}</div>{_code(explorer)}')
    return f'<div class="ak-card ak-wide">{"".join(parts)}</div>'


def render_static(explorer: Explorer) -> str:
    """Return the static record: the trial's names and metrics, and the code that draws it."""
    metrics = explorer.metrics()
    parts = [f"<div><b>{escape(title(explorer))}</b></div>"]
    if metrics:
        parts.append(f"<details><summary>{count(len(metrics), 'metric')}</summary>{_table(explorer)}</details>")
        parts.append(_code(explorer))
    return f'<div class="ak-card">{"".join(parts)}</div>'


def title(explorer: Explorer) -> str:
    """Return the trial and its position: `participant 1, Search, Baseline, trial 2: 3 of 20 trials`."""
    position, total = explorer.position
    if not total:
        return "There are no trials in this result."
    return f"{explorer.name}{': ' if explorer.name else ''}{position:,} of {count(total, 'trial')}"


def _controls(explorer: Explorer, names: Mapping[str, Sequence[NameOption]]) -> str:
    offered = explorer.choices()
    selects = "".join(
        _select(explorer, column, names[column], offered[column]) for column in NAME_COLUMNS if len(names[column]) > 1
    )
    position, total = explorer.position
    is_at_end = {"previous": position <= 1, "next": position >= total}
    off = ' aria-disabled="true"'
    buttons = " ".join(
        f'<button type="button" class="ak-button" data-action="{action}"{off if is_at_end[action] else ""}>'
        f"{label}</button>"
        for action, label in STEP_BUTTONS.items()
    )
    return f'<div class="ak-controls">{selects}<span class="ak-navigation">{buttons}</span></div>'


def _select(explorer: Explorer, column: str, names: Sequence[NameOption], offered: Sequence[NameOption]) -> str:
    """Return the list of a column's names; the value of an option is its index among all names of the column."""
    labels = {option.label for option in offered}
    selected = explorer.selected_label(column)
    options = "".join(
        f'<option value="{index}"{" selected" if option.label == selected else ""}>{escape(option.label)}</option>'
        for index, option in enumerate(names)
        if option.label in labels
    )
    all_option = f'<option value=""{"" if selected else " selected"}>all</option>'
    select = f'<select data-field="{column}" data-key="{column}">{all_option}{options}</select>'
    return f"<label>{column.capitalize()} {select}</label>"


def _figure(name: str, figure: RenderedFigure, trial_name: str) -> str:
    notes = f'<span class="ak-facts">{figure.notes}</span>' if figure.notes else ""
    label = escape(f"{figure.title}: {trial_name}")
    area = (
        f'<div role="group" aria-label="{label}" style="height:{FIGURE_HEIGHT_PX}px" data-key="{name}" '
        f'data-figure="{escape(figure.json)}"></div>'
    )
    return f'<figure data-key="{name}"><figcaption><b>{figure.title}</b> {notes}</figcaption>{area}</figure>'


def _scrolled_table(explorer: Explorer) -> str:
    return (
        f'<div class="ak-metrics" data-key="metrics" tabindex="0" role="region" aria-label="Metrics of the trial">'
        f"{_table(explorer)}</div>"
    )


def _table(explorer: Explorer) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(metric.name)}</th><td>{escape(metric.value)}</td>'
        f"<td>{escape(metric.unit)}</td></tr>"
        for metric in explorer.metrics()
    )
    return f"<table><tbody>{rows}</tbody></table>"


def _code(explorer: Explorer) -> str:
    """Return the line of code that draws the first figure; the other figures take the same arguments."""
    names = "".join(f", {name}={value!r}" for name, value in explorer.known_names.items())
    return f'<div class="ak-load"><code>{escape(f"ak.plot.trajectory(result{names})")}</code></div>'
