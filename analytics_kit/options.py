"""The options of processing a study: one frozen, checked set, shared by `submit` and `process`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points
from inspect import cleandoc
from textwrap import indent
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from analytics_kit.errors import SettingsError, nearest
from analytics_kit.event_format import EventFormat
from analytics_kit.model import Kind


def _as_tuple(value: object) -> object:
    return (value,) if isinstance(value, str | int) else value


NameTuple = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Pixels = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Limit = Annotated[int, Field(ge=1, le=2**60)]


FORMATS = ("auto", "fulcrum", "balabit", "keystrokes", "mousetracking")
PLUG_INS = "analytics_kit.formats"
"""The group of entry points by which other packages add formats."""


def format_names() -> tuple[str, ...]:
    """Return the names of all formats: those of this package, then those that other packages add."""
    return (*FORMATS, *sorted({point.name for point in entry_points(group=PLUG_INS)} - {*FORMATS}))


def format_distributions(format_: str | EventFormat) -> tuple[str, ...]:
    """Return name, distribution and version of the formats of other packages that the option `format` can use.

    With "auto" those are all that are installed, since each takes part in the decision.
    """
    if isinstance(format_, EventFormat) or (format_ in FORMATS and format_ != "auto"):
        return ()
    return tuple(text for name, text in _installed_formats() if format_ in ("auto", name))


@cache
def _installed_formats() -> tuple[tuple[str, str], ...]:
    """Return the name of each format of other packages, and a text with its distribution and version."""
    points = [point for point in entry_points(group=PLUG_INS) if point.name not in FORMATS]
    return tuple(
        sorted(
            (point.name, f"{point.name} of {point.dist.name} {point.dist.version}" if point.dist else point.name)
            for point in points
        )
    )


class Options(BaseModel):
    """Options of `submit` and `process`, given as keyword arguments; part of the result key and of the provenance.

    Unknown names and values that can't be used raise SettingsError, which suggests the nearest known name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True, use_attribute_docstrings=True)

    format: str | EventFormat = "auto"
    """How the log is laid out: "fulcrum", "balabit", "keystrokes", "mousetracking", a format that is installed, or an
    `EventFormat`; "auto" decides by names and headers of the files."""
    keys: Literal["class", "full"] = "class"
    """`"class"` keeps only the class of each key (letter, digit, …); `"full"` keeps what was typed."""
    participants: NameTuple | None = None
    """Only these participants."""
    tasks: NameTuple | None = None
    """The task names: settles where a folder's task ends and its factor begins, and chooses only these."""
    factors: NameTuple | None = None
    """The factor names: like `tasks`."""
    kinds: Mapping[str, Kind] | None = None
    """Kind of each file (by name without .csv) where the log itself does not name it."""
    metrics: NameTuple | None = None
    """Only these columns of metrics; None gives all."""
    on_error: Literal["skip", "raise"] = "skip"
    """Unreadable rows and files: "skip" lists them in `result.issues`, "raise" fails."""
    idle_gap_s: Seconds = 0.1
    """A gap between movement rows longer than this is idle time."""
    activity_gap_s: Seconds = 2.0
    """A gap between any two events up to this counts as activity."""
    hover_gap_s: Seconds = 0.25
    """A gap between movement rows longer than this is a hover."""
    scroll_gap_s: Seconds = 0.2
    """Scroll rows no further apart than this belong to one burst."""
    typing_pause_s: Seconds = 2.0
    """From one key to the next as long as this or longer is a pause, which ends a burst of typing."""
    auto_repeat_s: Seconds = 0.05
    """The same key again within this time is taken for auto-repeat."""
    double_click_s: Seconds = 0.5
    """Two presses no further apart than this, and than `double_click_px`, are a double click."""
    double_click_px: Pixels = 4.0
    """See `double_click_s`."""
    drag_px: Pixels = 4.0
    """A press that is released farther away than this is a drag."""
    rage_click_s: Seconds = 1.0
    """Three presses, each less than this and less than `rage_click_px` from the one before, are rage clicks."""
    rage_click_px: Pixels = 30.0
    """See `rage_click_s`; the horizontal plus the vertical distance."""
    resample_s: Annotated[Seconds, Field(ge=0.001)] = 0.01
    """Average deviation and flips sample the pointer's position at this interval; it rests during idle time."""
    flip_px: Pixels = 0.0
    """Only movement of more than this in one direction can end in a flip."""
    max_raw_bytes: Limit = 200 * 10**9
    """A ZIP that would inflate to more, ZIPs in it included, is refused as unsafe."""
    max_member_bytes: Limit = 20 * 10**9
    """A ZIP with a file that would inflate to more is refused."""
    max_members: Limit = 170_000
    """A ZIP with more files is refused."""
    max_directory_bytes: Limit = 64 * 10**6
    """A ZIP whose directory, with the names of all files, is larger is refused; so are several together."""
    max_ratio: Limit = 250
    """A ZIP that would inflate to more than this many times its packed size, and to more than 64 MB, is refused."""
    max_nesting: Annotated[int, Field(ge=0, le=8)] = 1
    """A study with a ZIP inside more than this many other ZIPs is refused."""
    max_name_length: Limit = 1024
    """A ZIP with a file whose name has more bytes is refused."""
    max_line_bytes: Limit = 2**24
    """A study with a longer line in a log is refused."""
    max_columns: Limit = 10_000
    """A study with more columns in the header of a log is refused."""
    max_log_bytes: Limit = 10**9
    """A study with a larger log of a format other than "fulcrum", which is read whole, is refused."""
    max_log_rows: Limit = 10**7
    """A study with more lines in a log of a format other than "fulcrum" is refused."""
    max_trials: Limit = 200_000
    """A study whose rows name more trials is refused."""

    @field_validator("format")
    @classmethod
    def _format_is_known(cls, value: str | EventFormat) -> str | EventFormat:
        if isinstance(value, str) and value not in FORMATS and value not in (known := format_names()):
            raise ValueError(f"there is no such format.{nearest(value, known)} Known: {', '.join(known)}")
        return value

    @classmethod
    def of(cls, **options: Any) -> Options:
        """Return checked options. Raises SettingsError, which names the option and the nearest known one."""
        try:
            return cls(**options)
        except ValidationError as error:
            raise SettingsError(_describe(error, list(cls.model_fields))) from None

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object from which `Options.of` makes equal options."""
        return self.model_dump(mode="json")


def _indented(description: str | None) -> str:
    return indent(description or "", "    ")


Options.__doc__ = "\n\n".join(
    [
        f"{cleandoc(Options.__doc__ or '')}\n\nParameters\n----------",
        *(
            f"{name}={field.default!r}\n{_indented(field.description)}"
            for name, field in Options.model_fields.items()
        ),
        "Examples\n--------",
        ">>> import analytics_kit as ak\n>>> options = ak.Options(idle_gap_s=0.2, participants=1)",
        ">>> options.participants, options.keys\n(('1',), 'class')",
    ]
)


def _describe(error: ValidationError, known: list[str]) -> str:
    lines = []
    for problem in error.errors():
        name = str(problem["loc"][0]) if problem["loc"] else "options"
        if problem["type"] == "extra_forbidden":
            lines.append(f"Unknown option {name!r}.{nearest(name, known)}")
        else:
            reason = problem["msg"].removeprefix("Value error, ")
            lines.append(f"Option {name!r} can't be {problem['input']!r}: {reason}.")
    return " ".join(lines)
