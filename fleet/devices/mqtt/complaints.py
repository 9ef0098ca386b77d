"""Complaints about devices: each kind once in the log, and told to the device now and then, however often it happens."""

from __future__ import annotations

import logging
from collections import OrderedDict
from datetime import datetime, timedelta

logger = logging.getLogger(__name__)

TELL_AGAIN = timedelta(minutes=1)
_MOST_REMEMBERED = 10_000


class Complaints:
    """What has been complained of. A complaint is known by the device, the kind of message and the field at fault."""

    def __init__(self) -> None:
        self._told_at: OrderedDict[tuple[str, str, str], datetime] = OrderedDict()

    def complain(self, identity: str, kind: str, field: str, reason: str, *, now: datetime) -> bool:
        """Log a complaint the first time. Returns whether the device should be told."""
        key = (identity[:64], kind[:40], field)
        told_at = self._told_at.get(key)
        if told_at is None:
            logger.warning("%s %s is refused: %s", identity[:64], kind[:40], reason)
        if told_at is not None and now - told_at < TELL_AGAIN:
            return False
        self._told_at[key] = now
        self._told_at.move_to_end(key)
        if len(self._told_at) > _MOST_REMEMBERED:
            self._told_at.popitem(last=False)
        return True
