"""Show the characters that a terminal, page or spreadsheet would obey or hide; only this file knows which they are.

Names of members, participants, tags and studies, and messages that quote them, come from whoever made the study. They
stay as they were logged in data (DataFrames, Parquet, JSON) and are escaped wherever they are shown.
"""

from __future__ import annotations

import html
import re
from typing import Final

from analytics_kit.utf8_text import utf8_text

UNSHOWN: Final = (
    r"\x00-\x1f\x7f-\x9f"  # control characters: new lines, and what begins the commands of a terminal
    r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # they reverse the direction of the text around them
    r"\u2028\u2029"  # ends of lines and paragraphs
    r"\xad\u180e\u200b\u2060-\u2065\u206a-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f"  # invisible
    r"\ud800-\udfff"  # surrogates: bytes of a name that is not UTF-8
)
"""The characters as the inside of a set of a regular expression. Joiners are not among them: scripts need them."""
LINES: Final = "\n\t"
"""Characters to keep in a text of several lines."""
_UNSHOWN = re.compile(f"[{UNSHOWN}]")


def visible(text: object, keep: str = "") -> str:
    r"""Return `text` in one line and without characters that act: each is replaced by its escape, as in `repr`.

    Parameters
    ----------
    text
        Anything; it is converted to a string. What is visible already stays the same.
    keep
        Characters to leave as they are, such as `LINES` in a text whose lines are this package's own.

    Examples
    --------
    >>> print(visible("a\x1b[31m\nb\u202e"))
    a\x1b[31m\nb\u202e
    """
    return _UNSHOWN.sub(lambda found: found[0] if found[0] in keep else _escaped(found[0]), str(text))


def visible_html(text: object, keep: str = "") -> str:
    """Return `text` as HTML that shows it.

    Examples
    --------
    >>> visible_html("<b>\x07")
    '&lt;b&gt;\\\\x07'
    """
    return html.escape(visible(text, keep))


def visible_json(text: str) -> str:
    r"""Return JSON of the same value in which all such characters are escaped, but for the new lines between values.

    Examples
    --------
    >>> print(visible_json('["\u202e"]'))
    ["\u202e"]
    """
    return _UNSHOWN.sub(lambda found: found[0] if found[0] == "\n" else _json_escaped(found[0]), text)


def _escaped(character: str) -> str:
    is_surrogate = "\ud800" <= character <= "\udfff"
    return utf8_text(character) if is_surrogate else character.encode("unicode_escape").decode("ascii")


def _json_escaped(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))
