"""Have the same participants been at all levels, or different ones at each, and so which of them can be compared?"""

from __future__ import annotations

from typing import Literal, NamedTuple

import pandas as pd

DesignKind = Literal["within", "between"]


class Design(NamedTuple):
    """How participants were spread over levels: "within" (all levels each), "between" (one each), None (neither)."""

    kind: DesignKind | None
    why: str


def design_of(present: pd.DataFrame, between: str) -> Design:
    """The design by a row per participant and a column per level: whether there were trials.

    Where both kinds of participants occur, the one with more of them is taken, and the pairs where they are as many.
    """
    counts = present.sum(axis=1)
    everyone, complete, single = len(counts), int((counts == present.shape[1]).sum()), int((counts == 1).sum())
    if complete == everyone:
        return Design("within", f"Every participant has all levels of {between}: values are paired.")
    if single == everyone:
        return Design("between", f"Every participant has one level of {between}: different people are compared.")
    mixed = f"Of {everyone} participants {complete} have all levels of {between} and {single} have one: "
    if complete and complete >= single:
        return Design("within", f"{mixed}the {complete} are paired, the others left out.")
    if single:
        return Design("between", f"{mixed}the {single} are compared as different people, the others left out.")
    return Design(None, f"{mixed}neither test fits, a mixed model does.")


def comparable(means: pd.DataFrame, present: pd.DataFrame, kind: DesignKind | None) -> pd.DataFrame:
    """Of a metric's means, by participant and level, the participants that the design can compare.

    Levels without any value are left out; within participants, so are those who lack a value at one of the others.
    """
    there = means.dropna(axis="columns", how="all")
    if kind == "within":
        return there.dropna()
    return there[present.sum(axis=1) == 1].dropna(how="all").dropna(axis="columns", how="all")
