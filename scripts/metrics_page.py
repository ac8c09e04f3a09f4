"""What does docs/metrics.md say? Written from the catalogue and the example, with its drawings (`make docs`)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from analytics_kit.model import Kind
from analytics_kit.options import Options
from analytics_kit.study.metrics.catalogue import FAMILIES, Family, Metric
from scripts.drawings import DRAWINGS, drawn
from scripts.example import CLICKS, KEYS, MOVES, SCROLLS, WHEEL, values

DOCS = Path(__file__).parents[1] / "docs"
SERIES = ("direction_sector_", "key_share_")
"""Metrics of one definition, which share a section."""
ROWS: dict[Kind, tuple[tuple[str, ...], Sequence[Sequence[object]]]] = {
    "mouse_movement": (("movement, t", "x", "y"), MOVES),
    "mouse_clicks": (("clicks, t", "x", "y"), CLICKS),
    "mouse_scrolls": (("scrolls, t", "x", "y", "*dy*"), [(*row, dy) for row, dy in zip(SCROLLS, WHEEL, strict=True)]),
    "keyboard": (("keys, t", "key", "*released*"), KEYS),
}
"""What is told of the example's rows of each kind; what the platform does not log is slanted."""
DRAWN = {metric: name for name, (_, metrics) in DRAWINGS.items() for metric in metrics}
INTRO = """\
# Metrics

<!-- Made by scripts/metrics_page.py from analytics_kit/study/catalogue.py; `make docs` writes it anew. -->

All columns of metrics in `result.trials`, which has a row per trial. `ak.metrics()` gives the same as a table, and
`ak.process(study, metrics=["path_length_px"])` chooses some. Of each there is

- its **formula**, in the letters that stand at the top of its family;
- **unit**: a `count` is a whole number (`Int64`), all others are `float64`;
- **needs**: the kinds of events without whose file it is NA;
- **NA or 0**: what else makes it NA, or 0. Rows that could not be read are in `result.issues`, with the reason;
- **options** that it depends on, with their defaults. `ak.process(study, idle_gap_s=0.2)` sets one, and the result's
  provenance keeps it;
- **native log**: what the platform's own log gives, a row each 10 px and 10 ms. `exact`: on the rows as logged;
  `estimate`: it rests on a threshold, a guess, or on what was between rows; `unavailable`: NA, as it needs what is
  not logged;
- **against a full log**: how it differs from the same from a log of full resolution, as far as that was measured:
  [what the logger does to the numbers](logger.md);
- **source** of the definition; `-` where there is none in the literature;
- **example**: its value for the trial whose rows stand at the top of its family, worked out by the package, with the
  default options and `keys="full"`.

Rows are sorted by time first. Of movement rows of equal times the last counts, though `movement_count` counts all.
Gaps are compared with thresholds as decimal fractions are meant: 0.30 - 0.20 is not longer than 0.1.
"""


def page(worked_out: Mapping[str, float]) -> str:
    """The Markdown, with these values as examples."""
    parts = [INTRO, "\n".join(f"- [{family.title}](#{anchor(family.title)})" for family in FAMILIES) + "\n"]
    for family in FAMILIES:
        parts.append(f"## {family.title}\n\n{family.notation}\n")
        parts += [rows_of(kind) for kind in ROWS if kind in kinds_of(family)]
        shown: set[str] = set()
        for metrics in sections(family):
            parts.append(section(metrics, worked_out, shown))
    return "\n".join(parts)


def anchor(title: str) -> str:
    """How GitHub calls a heading."""
    return "".join(sign for sign in title.lower().replace(" ", "-") if sign.isalnum() or sign in "-_")


def kinds_of(family: Family) -> set[str]:
    """The kinds whose rows the examples of a family come from: all, where a metric needs none."""
    needed = {kind for metric in family.metrics for kind in metric.needs}
    return needed if all(metric.needs for metric in family.metrics) else set(ROWS)


def rows_of(kind: Kind) -> str:
    """The example's rows of a kind, a column each."""
    names, rows = ROWS[kind]
    first, *others = [
        [
            name,
            *(
                "" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)
                for value in column
            ),
        ]
        for name, column in zip(names, zip(*rows, strict=True), strict=True)
    ]
    unlogged = [
        f"The platform does not log {name}; it is there for the metrics that need it."
        for name in names
        if "*" in name
    ]
    return "\n".join([*table(first, others), "", *(f"{line}\n" for line in unlogged)])


def sections(family: Family) -> Iterator[list[Metric]]:
    """The metrics one by one; those of a series together."""
    together: list[Metric] = []
    for metric in family.metrics:
        if together and prefix(metric) != prefix(together[0]):
            yield together
            together = []
        if prefix(metric):
            together.append(metric)
        else:
            yield [metric]
    if together:
        yield together


def prefix(metric: Metric) -> str:
    """What the metrics of its series begin with; empty for most."""
    return next((start for start in SERIES if metric.name.startswith(start)), "")


def section(metrics: Sequence[Metric], worked_out: Mapping[str, float], shown: set[str]) -> str:
    """A metric, or a series; `shown` are the drawings that were on the page before, which are linked to."""
    first = metrics[0]
    if len(metrics) == 1:
        lines = [f"### {first.name}", "", sentence(first.definition), "", f"`{first.formula}`", ""]
    else:
        lines = [f"### {first.name} … {metrics[-1].name.removeprefix(prefix(first))}", ""]
        lines += table(["metric", "definition", "formula", "example"], [
            [metric.name, metric.definition, f"`{metric.formula}`", number(metric, worked_out)] for metric in metrics
        ])  # fmt: skip
        lines.append("")
    if drawing := DRAWN.get(first.name):
        what = (DRAWINGS[drawing][0].__doc__ or "").strip()
        picture = f"drawings/{drawing}.svg"
        lines += [f"Drawing: [{drawing}]({picture})" if drawing in shown else f"![{what}]({picture})", ""]
        shown.add(drawing)
    return "\n".join([*lines, *facts(first, "" if len(metrics) > 1 else number(first, worked_out)), ""])


def facts(metric: Metric, example: str) -> list[str]:
    """The small table of a metric; columns that would be empty are left out."""
    defaults = Options()
    told = {
        "unit": metric.unit,
        "example": example,
        "needs": ", ".join(metric.needs) or "any kind",
        "NA or 0": metric.edge,
        "options": ", ".join(f"`{name}` {getattr(defaults, name):g}" for name in metric.thresholds),
        "native log": metric.native,
        "against a full log": metric.against_full,
        "source": metric.source,
    }
    told = {name: words for name, words in told.items() if words}
    return table(list(told), [list(told.values())])


def number(metric: Metric, worked_out: Mapping[str, float]) -> str:
    """An example: counts in full, others in four digits."""
    value = worked_out[metric.name]
    if math.isnan(value):
        return "NA"
    return f"{value:.0f}" if metric.is_count or abs(value) >= 1000 else f"{value:.4g}"


def sentence(words: str) -> str:
    """With a capital letter and a full stop."""
    return f"{words[0].upper()}{words[1:]}."


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table; a bar within a cell is text."""
    cells = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in cells]


def files() -> dict[Path, str]:
    """The page and its drawings, by path."""
    worked_out = values()
    written = {DOCS / "metrics.md": page(worked_out)}
    return written | {DOCS / "drawings" / f"{name}.svg": drawn(name, worked_out) for name in DRAWINGS}


if __name__ == "__main__":
    (DOCS / "drawings").mkdir(exist_ok=True)
    for path, text in files().items():
        path.write_text(text)
