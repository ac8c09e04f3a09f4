"""Describe the layout of an unknown log as data: columns, unit of time, kinds, and names in paths."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from analytics_kit.errors import SettingsError, nearest
from analytics_kit.model import Kind

TRIAL_KEYS = ("participant", "session", "task", "factor", "trial")
"""The names that identify a trial; each may come from a column or from the path."""
Role = Literal[
    "t", "x", "y", "key", "key_code", "kind", "action", "release", "dx", "dy", "wheel",
    "participant", "session", "task", "factor", "trial",
]  # fmt: skip
ROLES: tuple[str, ...] = get_args(Role)
_PATH_GROUPS = (*TRIAL_KEYS, "kind")


def _alternatives(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Column = Annotated[tuple[str, ...], BeforeValidator(_alternatives), Field(min_length=1)]


class EventFormat(BaseModel):
    """How to read a log that has a header line and one event per row.

    Give it as `format=` to `submit` and `process`. Raises SettingsError for a description that can't work.

    Parameters
    ----------
    columns
        Role → name of the column in the file; of a tuple of names the first that exists counts, case does not
        matter. `t` is required; `x` and `y` for pointers; `key` (a character, pynput's or the browser's name) or
        `key_code` (JavaScript's keyCode) for keyboards. Optional: `kind`, `action` (see below), `release` (the time
        at which the key of this row was released), `dx` and `dy` (the wheel's steps in px) or `wheel` (their
        direction), and `participant`, `session`, `task`, `factor`, `trial`.
    kind
        The kind of all rows: "mouse_movement", "mouse_clicks", "mouse_scrolls" or "keyboard".
    kinds
        Where files or rows differ: the kind for each value of the column `kind`, or of `(?P<kind>…)` in `path`.
    path
        A regular expression for the whole path of a file in the study, `/` between folders. Its groups
        `(?P<participant>…)`, `session`, `task`, `factor`, `trial` and `kind` give what no column gives. Files with
        other paths are left out and listed in `result.issues`.
    time_unit
        Of `t` and `release`: "s", "ms", "us", "ns", or "datetime" for dates with times in seconds (ISO 8601).
    time_origin
        "log": times count from the start of the trial. "trial": they run on through the session, or are dates, and
        the first event of each trial becomes 0 s; `trial_order` is known then. Dates need "trial".
    actions
        "press" or "release" for each value of the column `action`; without that column a row is a press, and clicks
        are pairs of rows.
    wheel
        The direction for each value of the column `wheel`: 1 is down, -1 up.
    delimiter
        Between cells, one ASCII character; None takes the one of comma, semicolon and tab that fits the header best.
        Where it is no comma, numbers may have a decimal comma.
    quoted
        Whether cells may be in double quotes.
    name
        The format's name in the result's provenance.

    Examples
    --------
    >>> import analytics_kit as ak
    >>> columns, path = {"t": "ms", "x": "xpos", "y": "ypos"}, "(?P<participant>[0-9]+).csv"
    >>> log = ak.EventFormat(columns=columns, time_unit="ms", kind="mouse_movement", path=path)
    >>> sorted(log.path_groups)
    ['participant']
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

    def __init__(self, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise SettingsError(_describe(error), hint="See help(analytics_kit.EventFormat).") from None

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
    def _delimiter_is_one_character(cls, delimiter: str | None) -> str | None:
        if delimiter is not None and (len(delimiter.encode()) != 1 or delimiter in '"\r\n'):
            raise ValueError("it must be one ASCII character, and neither a quote nor a line break")
        return delimiter

    @model_validator(mode="after")
    def _can_work(self) -> EventFormat:
        if "t" not in self.columns:
            raise ValueError("columns must name the column of the time: t")
        kind_sources = ("kind" in self.columns) + ("kind" in self.path_groups) + (self.kind is not None)
        if kind_sources != 1:
            raise ValueError("exactly one of kind, the column kind, and the path's group kind must give the kind")
        if self.time_unit == "datetime" and self.time_origin == "log":
            raise ValueError('dates do not count from the start of the trial: use time_origin="trial"')
        if self.kind is None and not self.kinds:
            raise ValueError("kinds must map each value to a kind")
        pointers = any(kind != "keyboard" for kind in self.all_kinds)
        if pointers and not {"x", "y"} <= self.columns.keys():
            raise ValueError("columns must name the columns of x and y")
        if "keyboard" in self.all_kinds and not {"key", "key_code"} & self.columns.keys():
            raise ValueError("columns must name the column of the key or the key_code")
        if ("action" in self.columns) != bool(self.actions):
            raise ValueError("the column action and what its values mean (actions) go together")
        if ("wheel" in self.columns) != bool(self.wheel):
            raise ValueError("the column wheel and wheel go together")
        return self

    @property
    def path_groups(self) -> frozenset[str]:
        """The names that the path gives."""
        return frozenset(re.compile(self.path).groupindex) if self.path else frozenset()

    @property
    def all_kinds(self) -> tuple[Kind, ...]:
        """The kinds of events that files of this format can hold."""
        return (self.kind,) if self.kind else tuple(dict.fromkeys(self.kinds.values()))


def _describe(error: ValidationError) -> str:
    lines = []
    for problem in error.errors():
        field = ".".join(str(part) for part in problem["loc"] if part != "[key]")
        if problem["type"] == "extra_forbidden":
            lines.append(f"EventFormat has no {field!r}.{nearest(field, list(EventFormat.model_fields))}")
        elif problem["loc"][:1] == ("columns",) and problem["loc"][-1:] == ("[key]",):
            role = str(problem["input"])
            lines.append(f"columns can't name {role!r}.{nearest(role, ROLES)} Known: {', '.join(ROLES)}.")
        else:
            reason = problem["msg"].removeprefix("Value error, ").rstrip(".")
            lines.append(f"EventFormat{f', {field}' if field else ''}: {reason}.")
    return " ".join(lines)
