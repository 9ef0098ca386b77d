"""From a sentence's code and values to its words in the language in force."""

from __future__ import annotations

from datetime import datetime

from django.utils.translation import gettext

from aggregator.core.sentences import Sentence, Value
from aggregator.portal import formats

MESSAGE_PREFIX = "sentence."


def write_sentence(sentence: Sentence, *, currency: str, now: datetime | None = None) -> str:
    """The sentence in words. Values are written by what their names say they are; times in the zone in force."""
    values = {name: _write(name, value, currency, now) for name, value in sentence.values.items()}
    return gettext(MESSAGE_PREFIX + sentence.code).format(**values)


def _write(name: str, value: Value, currency: str, now: datetime | None) -> str:
    if isinstance(value, datetime):
        return formats.clock(value, now=now)
    if isinstance(value, str):
        return value
    if name.endswith("_money"):
        return formats.rate(value, currency)
    if name.endswith("_age_s"):
        return formats.age(float(value))
    if name.endswith("_percent"):
        return formats.number(value, 0)
    if name.endswith("_power"):
        return formats.power(float(value))
    if name.endswith(("_kw", "_kwh")):
        return formats.number(value, 1)
    return formats.number(value, 0)
