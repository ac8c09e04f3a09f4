"""Name keys and classify them. By default only the class of a key is kept."""

from __future__ import annotations

import unicodedata

from analytics_kit.study.schema.text import parse_whole_number

KEY_CLASSES = (
    "letter", "digit", "punctuation", "space", "enter", "backspace", "delete", "navigation", "modifier", "function",
    "other",
)  # fmt: skip
KEY_CLASS_CODES = {name: code for code, name in enumerate(KEY_CLASSES)}
"""The number that stands for each class in arrays and stored tables."""
NAMED_KEYS = {
    **dict.fromkeys(("left", "right", "up", "down", "home", "end", "page_up", "page_down"), "navigation"),
    **dict.fromkeys(
        ("alt", "alt_l", "alt_r", "alt_gr", "cmd", "cmd_l", "cmd_r", "ctrl", "ctrl_l", "ctrl_r", "shift", "shift_l",
         "shift_r", "caps_lock", "num_lock"), "modifier"),
    **dict.fromkeys((f"f{n}" for n in range(1, 25)), "function"),
    "space": "space", "enter": "enter", "backspace": "backspace", "delete": "delete",
}  # fmt: skip
"""The class of each key that pynput prints as `Key.name`."""


def classify_key(key: str) -> str:
    """Return the class of a key; control characters and unknown names are "other".

    >>> [classify_key(key) for key in ("a", "ß", "7", ",", " ", "Key.shift_r", "", "\\x01")]
    ['letter', 'letter', 'digit', 'punctuation', 'space', 'modifier', 'other', 'other']
    """
    if len(key) == 3 and key[0] == key[2] and key[0] in "'\"":  # some loggers write the repr() of a key
        key = key[1]
    if key.startswith("Key."):
        return NAMED_KEYS.get(key[4:].lower(), "other")
    if len(key) != 1:
        return "other"
    group = unicodedata.category(key)[0]
    if key == " " or group == "Z":
        return "space"
    return {"L": "letter", "N": "digit", "P": "punctuation", "S": "punctuation"}.get(group, "other")


_ALIASES = {
    "bksp": "backspace", "back_space": "backspace", "del": "delete", "return": "enter", "spacebar": "space",
    "control": "ctrl", "ctl": "ctrl", "meta": "cmd", "os": "cmd", "win": "cmd", "altgraph": "alt_gr",
    "altgr": "alt_gr", "capslock": "caps_lock", "numlock": "num_lock", "escape": "esc",
    "pageup": "page_up", "pagedown": "page_down",
    **{f"arrow{direction}": direction for direction in ("left", "right", "up", "down")},
    **{f"arrow_{direction}": direction for direction in ("left", "right", "up", "down")},
}  # fmt: skip
_BY_KEY_CODE = {
    8: "Key.backspace", 9: "Key.tab", 13: "Key.enter", 16: "Key.shift", 17: "Key.ctrl", 18: "Key.alt",
    20: "Key.caps_lock", 27: "Key.esc", 32: " ", 33: "Key.page_up", 34: "Key.page_down", 35: "Key.end",
    36: "Key.home", 37: "Key.left", 38: "Key.up", 39: "Key.right", 40: "Key.down", 45: "Key.insert",
    46: "Key.delete", 91: "Key.cmd", 92: "Key.cmd", 93: "Key.cmd", 106: "*", 107: "+", 109: "-", 110: ".", 111: "/",
    144: "Key.num_lock", 186: ";", 187: "=", 188: ",", 189: "-", 190: ".", 191: "/", 192: "`", 219: "[",
    220: "\\", 221: "]", 222: "'",
    **{code: chr(code) for code in range(ord("0"), ord("9") + 1)},
    **{code: chr(code).lower() for code in range(ord("A"), ord("Z") + 1)},
    **{code: chr(code - 48) for code in range(96, 106)},
    **{code: f"Key.f{code - 111}" for code in range(112, 136)},
}  # fmt: skip
"""The key for each of JavaScript's keyCodes, on a keyboard with the US layout."""


def normalise_key(key: str, code: str = "") -> str:
    """Return the key as pynput prints it, from a character, a name used by browsers or other logs, or a keyCode.

    >>> keys = (("a",), ("BKSP", "8"), ("ArrowLeft",), ("", "65"), ("229",), ("CAPS_LOCK", "20"))
    >>> [normalise_key(*key) for key in keys]
    ['a', 'Key.backspace', 'Key.left', 'a', '229', 'Key.caps_lock']
    """
    if len(key) == 1 or key.startswith("Key."):
        return key
    name = key.strip().lower().replace(" ", "_")
    name = _ALIASES.get(name, name)
    if name in NAMED_KEYS or name in ("tab", "esc"):
        return f"Key.{name}"
    for number in (code.strip(), name):
        if named := _BY_KEY_CODE.get(parse_whole_number(number) or 0):
            return named
    return key
