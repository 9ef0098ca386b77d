"""Any text of JSON as text that a database can hold."""

import re

_NOT_STORABLE = re.compile("[\x00\ud800-\udfff\\\\]")
_ESCAPE = re.compile(r"\\u([0-9a-f]{4})")


def storable(text: str) -> str:
    """The text with NUL, lone surrogates and backslashes written as escapes; two different texts stay different.

    JSON allows them all in names, PostgreSQL does not.
    """
    return _NOT_STORABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def as_sent(text: str) -> str:
    """The text that `storable` was given."""
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)
