"""A trial of a result as HTML: what else could be chosen, its figures, its metrics, and the code that gives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from analytics_kit.job_text import count
from analytics_kit.notebook.explorer_model import NAMES, Drawing, Explorer, Option

STEPS = {"previous": "← Previous", "next": "Next →"}


def live(
    explorer: Explorer, names: Mapping[str, Sequence[Option]], drawings: Mapping[str, Drawing], note: str = ""
) -> str:
    """For who looks now. `names` are all names of each column, `drawings` the trial's figures."""
    parts = [_controls(explorer, names), f'<div class="ak-head"><b>{escape(title(explorer))}</b></div>']
    parts += [f'<div class="ak-note">{escape(note)}</div>'] if note else []
    drawn = "".join(_figure(name, drawing, explorer.name) for name, drawing in drawings.items())
    if drawn:
        parts.append(f'<div class="ak-figures">{drawn}{_scrolled(explorer)}</div>{_code(explorer)}')
    return f'<div class="ak-card ak-wide">{"".join(parts)}</div>'


def record(explorer: Explorer) -> str:
    """For a file: the trial's names and metrics, and the code that draws it."""
    measures = explorer.metrics()
    parts = [f"<div><b>{escape(title(explorer))}</b></div>"]
    if measures:
        parts.append(f"<details><summary>{count(len(measures), 'metric')}</summary>{_table(explorer)}</details>")
        parts.append(_code(explorer))
    return f'<div class="ak-card">{"".join(parts)}</div>'


def title(explorer: Explorer) -> str:
    """Which trial is looked at: `participant 1, Search, Baseline, trial 2: 3 of 20 trials`."""
    place, of = explorer.place
    if not of:
        return "There are no trials in this result."
    return f"{explorer.name}{': ' if explorer.name else ''}{place:,} of {count(of, 'trial')}"


def _controls(explorer: Explorer, names: Mapping[str, Sequence[Option]]) -> str:
    offered = explorer.choices()
    chosen = "".join(_select(explorer, name, names[name], offered[name]) for name in NAMES if len(names[name]) > 1)
    place, of = explorer.place
    ends = {"previous": place <= 1, "next": place >= of}
    off = ' aria-disabled="true"'
    steps = " ".join(
        f'<button type="button" class="ak-button" data-do="{do}"{off if ends[do] else ""}>{word}</button>'
        for do, word in STEPS.items()
    )
    return f'<div class="ak-controls">{chosen}<span class="ak-steps">{steps}</span></div>'


def _select(explorer: Explorer, column: str, names: Sequence[Option], offered: Sequence[Option]) -> str:
    """A choice of names; the value of an option is its place among all names of the column."""
    there = {option.words for option in offered}
    chosen = explorer.chosen(column)
    options = "".join(
        f'<option value="{place}"{" selected" if option.words == chosen else ""}>{escape(option.words)}</option>'
        for place, option in enumerate(names)
        if option.words in there
    )
    every = f'<option value=""{"" if chosen else " selected"}>all</option>'
    select = f'<select data-ask="{column}" data-key="{column}">{every}{options}</select>'
    return f"<label>{column.capitalize()} {select}</label>"


def _figure(name: str, drawing: Drawing, said: str) -> str:
    notes = f'<span class="ak-facts">{drawing.notes}</span>' if drawing.notes else ""
    label = escape(f"{drawing.title}: {said}")
    place = f'<div role="group" aria-label="{label}" data-key="{name}" data-figure="{escape(drawing.json)}"></div>'
    return f'<figure data-key="{name}"><figcaption><b>{drawing.title}</b> {notes}</figcaption>{place}</figure>'


def _scrolled(explorer: Explorer) -> str:
    return (
        f'<div class="ak-metrics" data-key="metrics" tabindex="0" role="region" aria-label="Metrics of the trial">'
        f"{_table(explorer)}</div>"
    )


def _table(explorer: Explorer) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(measure.name)}</th><td>{escape(measure.value)}</td>'
        f"<td>{escape(measure.unit)}</td></tr>"
        for measure in explorer.metrics()
    )
    return f"<table><tbody>{rows}</tbody></table>"


def _code(explorer: Explorer) -> str:
    """The line that draws the first figure; the others take the same arguments."""
    names = "".join(f", {name}={value!r}" for name, value in explorer.known.items())
    return f'<div class="ak-load"><code>{escape(f"ak.plot.trajectory(result{names})")}</code></div>'
