"""Remove from texts of jobs, such as messages, log lines and paths, those that name a participant."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from analytics_kit.model import Failure

REDACTED = "[removed: it named a participant who was forgotten]"
_MANY_DIGITS = 6
"""A name of fewer digits may be any number: it is one only where the text speaks of participants."""
_BEFORE, _AFTER = r"(?<![^\W_])", r"(?![^\W_])"
_OF_PEOPLE = re.compile(r"participant|session|subject|user", re.IGNORECASE)


class Redactor:
    """Recognise texts that name a participant.

    Parameters
    ----------
    participant : str
        Their name.
    members : collection of str
        Paths of the files that hold their data, as far as they are known.

    Examples
    --------
    >>> redactor = Redactor("1", ["1.zip"])
    >>> [redactor.names(text) for text in ("line 1", "1_participant_session/a.csv", "participants: 1, 2", "in 1.zip")]
    [False, True, True, True]
    """

    def __init__(self, participant: str, members: Collection[str] = ()) -> None:
        self._participant = participant
        self._members = tuple(members)
        name = re.escape(participant)
        is_number = participant.isdecimal() and len(participant) < _MANY_DIGITS
        self._word = re.compile(f"{_BEFORE}{name}{_AFTER}")
        self._in_path = re.compile(rf"(?:^|(?<=[/\\'\" ])){name}(?:_participant_session(?:_id)?)?(?:\.zip)?[/\\]")
        self._is_ambiguous = is_number or len(participant) < 2

    def names(self, text: str) -> bool:
        """Return whether a line of text names the participant or one of their files."""
        if any(member in text for member in self._members):
            return True
        if not self._word.search(text):
            return False
        return not self._is_ambiguous or bool(self._in_path.search(text) or _OF_PEOPLE.search(text))

    def line(self, text: str) -> str:
        """Return the line, or what stands in its place."""
        return REDACTED if self.names(text) else text

    def text(self, text: str) -> str:
        """Return a text of several lines, each by itself."""
        return "\n".join(map(self.line, text.split("\n")))

    def failure(self, failure: Failure | None) -> Failure | None:
        """Return why a job failed."""
        if failure is None:
            return None
        texts = {name: self.text(getattr(failure, name)) for name in ("message", "hint", "log", "traceback")}
        return replace(failure, **texts)

    def location(self, location: str) -> str:
        """Return a path or URL; a last name that names the participant is replaced."""
        above, slash, name = location.rpartition("/")
        return f"{above}{slash}removed" if self.names(name) or self._is_file_of(name) else location

    def tags(self, tags: tuple[str, ...]) -> tuple[str, ...]:
        """Return the tags that do not name the participant."""
        return tuple(tag for tag in tags if tag != self._participant and not self.names(tag))

    def options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options without the participant among those to be chosen."""
        chosen = options.get("participants")
        if not chosen:
            return dict(options)
        return {**options, "participants": [name for name in chosen if name != self._participant]}

    def preview(self, preview: Mapping[str, Any]) -> dict[str, Any]:
        """Return the preview of a result without the participant's trials, and without issues that name them."""
        columns, trials = list(preview["columns"]), preview["trials"]
        if "participant" in columns:
            position = columns.index("participant")
            trials = [row for row in trials if row[position] != self._participant]
        issues = [row for row in preview["issues"] if not self.names(" ".join(str(cell) for cell in row))]
        return {**preview, "trials": trials, "issues": issues}

    def _is_file_of(self, name: str) -> bool:
        return name.partition(".")[0] == self._participant
