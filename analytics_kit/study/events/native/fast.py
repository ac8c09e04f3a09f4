"""Decode lines as the logger writes them: a clock and a time, then x and y in plain digits, or a key.

This is no CSV parser: it accepts lines of these two shapes only, and stops at the first byte that does not fit. The
text from there on is read by `scanned`, which takes any text, with the same result.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analytics_kit.study.csv.scan import MAX_EXACT_DIGITS, POWERS_OF_TEN
from analytics_kit.study.schema.compiling import Floats, Ints, kernel
from analytics_kit.study.schema.keys import KEY_CLASS_CODES, NAMED_KEYS, classify_key

SHORTEST_LINE_BYTES = len(",0,\n")
_COMMA, _QUOTE, _APOSTROPHE, _MINUS, _POINT, _BREAK, _RETURN, _ZERO = (np.uint8(ord(sign)) for sign in ",\"'-.\n\r0")
_BLANK, _TILDE = np.uint8(ord(" ")), np.uint8(ord("~"))
_ONE = np.uint64(1)  # with a signed index every access checks for a negative one

_PREFIX = np.frombuffer(b"Key.", np.uint8)
_LONGEST_NAME = 11  # as a number in base 39 it fits into 64 bits
_BASE = np.int64(39)
_LETTERS = np.full(256, 38)
"""1 to 37 for the characters of key names, 38 for others."""
for _digit, _letter in enumerate("_abcdefghijklmnopqrstuvwxyz0123456789", 1):
    _LETTERS[ord(_letter)] = _LETTERS[ord(_letter.upper())] = _digit
_CLASS_OF_SIGN = np.array([KEY_CLASS_CODES[classify_key(chr(sign))] for sign in range(128)], np.int8)
_CLASS_OF_SIGN[[_COMMA, _QUOTE]] = -1
_OTHER, _PUNCTUATION = np.int8(KEY_CLASS_CODES["other"]), np.int8(KEY_CLASS_CODES["punctuation"])


def _number(name: str) -> int:
    number = 0
    for letter in name:
        number = number * int(_BASE) + int(_LETTERS[ord(letter)])
    return number


_BY_NUMBER = sorted((_number(name), KEY_CLASS_CODES[kind]) for name, kind in NAMED_KEYS.items())
_NAMES = np.array([number for number, _ in _BY_NUMBER], np.int64)
_CODES = np.array([code for _, code in _BY_NUMBER], np.int8)


@kernel
def decode(
    text: npt.NDArray[np.uint8],
    starts: Ints,
    ends: Ints,
    counts: Ints,
    columns: tuple[Floats, ...],
    codes: npt.NDArray[np.int8],
) -> int:
    """Fill columns (t, or t, x and y) and key codes from a text up to the first piece with a line not the logger's.

    Returns the number of rows. Piece i of the text has whole lines from starts[i] to ends[i], and counts[i] is set to
    their number; it stays as it is for that piece and those after it. `columns`
    and, if lines end in a key, `codes` have space for a row per SHORTEST_LINE_BYTES. All is one loop, because passing
    arrays to a function for each cell takes three times as long.
    """
    has_keys, space = len(columns) == 1, np.uint64(len(columns[0]))
    row = np.uint64(0)
    for piece in range(len(ends)):
        at, first, end = np.uint64(starts[piece]), row, np.uint64(ends[piece])
        while at < end:
            if row >= space:
                return int(np.int64(first))
            sign = text[at]
            while sign != _COMMA:
                if sign < _BLANK or sign > _TILDE or sign == _QUOTE:
                    return int(np.int64(first))
                at += _ONE
                sign = text[at]

            for column in range(len(columns)):
                at += _ONE
                negative = text[at] == _MINUS
                at += np.uint64(negative)
                whole, digits, decimals, point = np.int64(0), 0, 0, 0
                while True:
                    sign = text[at]
                    if _ZERO <= sign < _ZERO + 10 and digits <= MAX_EXACT_DIGITS:
                        whole = whole * 10 + np.int64(sign - _ZERO)
                        digits += 1
                        decimals += point
                    elif sign == _POINT and not point:
                        point = 1
                    else:
                        break
                    at += _ONE
                end_sign = _BREAK if not has_keys and column == len(columns) - 1 else _COMMA
                if digits == 0 or digits > MAX_EXACT_DIGITS or sign != end_sign:
                    return int(np.int64(first))
                value = whole / POWERS_OF_TEN[decimals]
                columns[column][row] = -value if negative else value

            if has_keys:
                at += _ONE
                begin, name, has_special = at, np.int64(0), False
                while text[at] != _BREAK:
                    sign = text[at]
                    if sign == 0 or sign == _RETURN or sign > 127:
                        return int(np.int64(first))
                    has_special |= _CLASS_OF_SIGN[sign] < 0
                    if len(_PREFIX) <= at - begin < len(_PREFIX) + _LONGEST_NAME:
                        name = name * _BASE + _LETTERS[sign]
                    at += _ONE
                size, sign, code = at - begin, text[begin], _OTHER
                if size == 1:
                    code = _CLASS_OF_SIGN[sign]
                elif has_special:  # the logger quotes a comma and a quote, nothing else
                    comma = size == 3 and text[begin + _ONE] == _COMMA
                    quote = size == 4 and text[begin + _ONE] == _QUOTE and text[at - 2 * _ONE] == _QUOTE
                    code = _PUNCTUATION if (comma or quote) and sign == text[at - _ONE] == _QUOTE else np.int8(-1)
                elif size == 3 and sign == text[at - _ONE] == _APOSTROPHE:
                    code = _CLASS_OF_SIGN[text[begin + _ONE]]
                elif len(_PREFIX) < size <= len(_PREFIX) + _LONGEST_NAME:
                    prefixed = True
                    for letter in range(len(_PREFIX)):
                        prefixed &= text[begin + np.uint64(letter)] == _PREFIX[letter]
                    low, high = 0, len(_NAMES)
                    while low < high:  # bisection; that of numpy takes half a second to compile
                        middle = (low + high) // 2
                        if _NAMES[middle] < name:
                            low = middle + 1
                        else:
                            high = middle
                    if prefixed and low < len(_NAMES) and _NAMES[low] == name:
                        code = _CODES[low]
                if code < 0:
                    return int(np.int64(first))
                codes[row] = code
            at += _ONE
            row += _ONE
        counts[piece] = np.int64(row - first)
    return int(np.int64(row))
