"""How is a log laid out that the kit does not know? Column names, time, kinds and names in paths, as data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from analytics_kit.errors import SettingsError, nearest
from analytics_kit.model import Kind

NAMES = ("participant", "session", "task", "factor", "trial")
"""What tells trials apart; each may come from a column or from the path."""
Role = Literal[
    "t", "x", "y", "key", "key_code", "kind", "action", "release", "dx", "dy", "wheel",
    "participant", "session", "task", "factor", "trial",
]  # fmt: skip
ROLES: tuple[str, ...] = get_args(Role)
_PATH_GROUPS = (*NAMES, "kind")


def _alternatives(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Column = Annotated[tuple[str, ...], BeforeValidator(_alternatives), Field(min_length=1)]


class EventFormat(BaseModel):
    """How to read a log with a header line and a record on each line.

    Give it as `format=` to `submit` and `process`. Raises SettingsError for a description that can't work.

    Parameters
    ----------
    columns
        What is in which column of the file; a tuple of names stands for the first that is there, case does not
        matter. `t` is needed; `x` and `y` for pointers; `key` (a character, pynput's or the browser's name) or
        `key_code` (JavaScript's keyCode) for keyboards. Then `kind`, `action` (see below), `release` (the time the
        key of this record was released), `dx` and `dy` (the wheel's steps in px) or `wheel` (their direction), and
        `participant`, `session`, `task`, `factor`, `trial`.
    kind
        What all records are: "mouse_movement", "mouse_clicks", "mouse_scrolls" or "keyboard".
    kinds
        Where files or records differ: the kind for each value of the column `kind`, or of `(?P<kind>…)` in `path`.
    path
        A regular expression for the whole path of a file in the study, `/` between folders. Its groups
        `(?P<participant>…)`, `session`, `task`, `factor`, `trial` and `kind` say what columns do not. Files with
        other paths are left out, which is said in `result.issues`.
    time_unit
        Of `t` and `release`: "s", "ms", "us", "ns", or "datetime" for dates with times in seconds (ISO 8601).
    time_origin
        "log": times are counted from the start of the trial. "trial": they go on through the session, or are dates,
        and the first event of each trial becomes 0 s; `trial_order` is known then. Dates need "trial".
    actions
        "press" or "release" for each value of the column `action`; without it a record is a press, and clicks are
        pairs of rows.
    wheel
        For each value of the column `wheel` how the wheel turned: 1 is down, -1 up.
    delimiter
        Between cells, one character of ASCII; None takes what the header is best cut by: comma, semicolon or tab.
    quoted
        Whether a cell may stand in double quotes.
    name
        What the result's provenance calls it.

    >>> EventFormat(columns={"t": "ms", "x": "xpos", "y": "ypos"}, time_unit="ms", kind="mouse_movement").name
    'described'
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    columns: Mapping[Role, Column]
    kind: Kind | None = None
    kinds: Mapping[str, Kind] = {}
    path: str | None = None
    time_unit: Literal["s", "ms", "us", "ns", "datetime"] = "s"
    time_origin: Literal["log", "trial"] = "log"
    actions: Mapping[str, Literal["press", "release"]] = {}
    wheel: Mapping[str, Literal[-1, 1]] = {}
    delimiter: str | None = None
    quoted: bool = True
    name: Annotated[str, Field(pattern=r"^[A-Za-z][\w-]{0,63}$")] = "described"

    def __init__(self, **described: Any) -> None:
        try:
            super().__init__(**described)
        except ValidationError as error:
            raise SettingsError(_complaint(error), hint="See help(analytics_kit.EventFormat).") from None

    @field_validator("path")
    @classmethod
    def _path_compiles(cls, path: str | None) -> str | None:
        if path is not None:
            try:
                groups = re.compile(path).groupindex
            except re.error as error:
                raise ValueError(f"it is no regular expression: {error}") from None
            for group in groups:
                if group not in _PATH_GROUPS:
                    raise ValueError(f"a group can't be called {group!r}.{nearest(group, _PATH_GROUPS)}")
        return path

    @field_validator("delimiter")
    @classmethod
    def _delimiter_is_one_sign(cls, delimiter: str | None) -> str | None:
        if delimiter is not None and (len(delimiter.encode()) != 1 or delimiter in '"\r\n'):
            raise ValueError("it must be one character of ASCII, and neither a quote nor a line break")
        return delimiter

    @model_validator(mode="after")
    def _can_work(self) -> EventFormat:
        if "t" not in self.columns:
            raise ValueError("columns must say where the time is: t")
        told = ("kind" in self.columns) + ("kind" in self.path_groups) + (self.kind is not None)
        if told != 1:
            raise ValueError("exactly one of kind, the column kind, and the path's group kind must tell the kind")
        if self.time_unit == "datetime" and self.time_origin == "log":
            raise ValueError('dates are not counted from the start of the trial: say time_origin="trial"')
        if self.kind is None and not self.kinds:
            raise ValueError("kinds must say which kind each value stands for")
        pointers = any(kind != "keyboard" for kind in self.all_kinds)
        if pointers and not {"x", "y"} <= self.columns.keys():
            raise ValueError("columns must say where x and y are")
        if "keyboard" in self.all_kinds and not {"key", "key_code"} & self.columns.keys():
            raise ValueError("columns must say where the key or the key_code is")
        if ("action" in self.columns) != bool(self.actions):
            raise ValueError("the column action and what its values mean (actions) go together")
        if ("wheel" in self.columns) != bool(self.wheel):
            raise ValueError("the column wheel and wheel go together")
        return self

    @property
    def path_groups(self) -> frozenset[str]:
        """What the path tells."""
        return frozenset(re.compile(self.path).groupindex) if self.path else frozenset()

    @property
    def all_kinds(self) -> tuple[Kind, ...]:
        """The kinds of events that such files can hold."""
        return (self.kind,) if self.kind else tuple(dict.fromkeys(self.kinds.values()))


def _complaint(error: ValidationError) -> str:
    lines = []
    for problem in error.errors():
        where = ".".join(str(part) for part in problem["loc"] if part != "[key]")
        if problem["type"] == "extra_forbidden":
            lines.append(f"EventFormat has no {where!r}.{nearest(where, list(EventFormat.model_fields))}")
        elif problem["loc"][:1] == ("columns",) and problem["loc"][-1:] == ("[key]",):
            given = str(problem["input"])
            lines.append(f"columns can't name {given!r}.{nearest(given, ROLES)} Known: {', '.join(ROLES)}.")
        else:
            words = problem["msg"].removeprefix("Value error, ").rstrip(".")
            lines.append(f"EventFormat{f', {where}' if where else ''}: {words}.")
    return " ".join(lines)
