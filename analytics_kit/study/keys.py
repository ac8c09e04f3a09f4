"""To which class does a key belong, as pynput prints it? Nothing else of a key is kept by default."""

from __future__ import annotations

import unicodedata

KEY_CLASSES = (
    "letter", "digit", "punctuation", "space", "enter", "backspace", "delete", "navigation", "modifier", "function",
    "other",
)  # fmt: skip
CODE = {name: code for code, name in enumerate(KEY_CLASSES)}
NAMED = {
    **dict.fromkeys(("left", "right", "up", "down", "home", "end", "page_up", "page_down"), "navigation"),
    **dict.fromkeys(
        ("alt", "alt_l", "alt_r", "alt_gr", "cmd", "cmd_l", "cmd_r", "ctrl", "ctrl_l", "ctrl_r", "shift", "shift_l",
         "shift_r", "caps_lock", "num_lock"), "modifier"),
    **dict.fromkeys((f"f{n}" for n in range(1, 25)), "function"),
    "space": "space", "enter": "enter", "backspace": "backspace", "delete": "delete",
}  # fmt: skip


def key_class(key: str) -> str:
    """Class of a key: `a` → letter, `Key.backspace` → backspace, control characters and unknown names → other.

    >>> [key_class(key) for key in ("a", "ß", "7", ",", " ", "Key.shift_r", "", "\\x01")]
    ['letter', 'letter', 'digit', 'punctuation', 'space', 'modifier', 'other', 'other']
    """
    if len(key) == 3 and key[0] == key[2] and key[0] in "'\"":  # some loggers keep the quotes of repr()
        key = key[1]
    if key.startswith("Key."):
        return NAMED.get(key[4:].lower(), "other")
    if len(key) != 1:
        return "other"
    group = unicodedata.category(key)[0]
    if key == " " or group == "Z":
        return "space"
    return {"L": "letter", "N": "digit", "P": "punctuation", "S": "punctuation"}.get(group, "other")
