"""Determine whether levels are compared within or between participants, and which participants can be compared."""

from __future__ import annotations

from typing import Literal, NamedTuple

import pandas as pd

DesignKind = Literal["within", "between"]


class Design(NamedTuple):
    """How participants are distributed over levels: each has all ("within"), each has one ("between"), or neither."""

    kind: DesignKind | None
    why: str


def design_of(present: pd.DataFrame, between: str) -> Design:
    """Return the design, given for each participant (row) and level (column) whether there are trials.

    If some participants have all levels and others one, the larger group decides, and "within" if they are equal.
    """
    counts = present.sum(axis=1)
    total, complete, single = len(counts), int((counts == present.shape[1]).sum()), int((counts == 1).sum())
    if complete == total:
        return Design("within", f"Every participant has all levels of {between}: values are paired.")
    if single == total:
        return Design(
            "between", f"Every participant has one level of {between}: different participants are compared."
        )
    mixed = f"Of {total} participants {complete} have all levels of {between} and {single} have one: "
    if complete and complete >= single:
        return Design("within", f"{mixed}the {complete} are paired, the others left out.")
    if single:
        return Design("between", f"{mixed}the {single} are compared between participants, the others left out.")
    return Design(None, f"{mixed}neither test applies; use a mixed model.")


def comparable(means: pd.DataFrame, present: pd.DataFrame, kind: DesignKind | None) -> pd.DataFrame:
    """Return a metric's means (participants x levels) for the participants that the design can compare.

    Levels without any value are left out. Within participants, so are those who lack a value at another level.
    """
    with_values = means.dropna(axis="columns", how="all")
    if kind == "within":
        return with_values.dropna()
    return with_values[present.sum(axis=1) == 1].dropna(how="all").dropna(axis="columns", how="all")
