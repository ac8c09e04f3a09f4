"""Make text of names that are not UTF-8, which Python holds as surrogates that nothing can encode."""

from __future__ import annotations

import re

_SURROGATE = re.compile("[\ud800-\udfff]")


def utf8_text(text: str) -> str:
    """Return text that can be encoded: each byte of a file name that is not UTF-8 becomes `\\xe9`.

    >>> import os
    >>> utf8_text(os.fsdecode(b"caf\\xe9.zip"))
    'caf\\\\xe9.zip'
    """
    return text if text.isascii() else _SURROGATE.sub(_escaped, text)


def _escaped(surrogate: re.Match[str]) -> str:
    number = ord(surrogate[0])
    return f"\\x{number - 0xDC00:02x}" if 0xDC80 <= number <= 0xDCFF else f"\\u{number:04x}"
