"""What can be made to go wrong with a simulated station, and for how long."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

FOREVER = datetime.max


class Fault(StrEnum):
    """A fault on demand."""

    DROP_CONNECTION = "drop_connection"  # the socket is cut without a closing handshake; no way back while it lasts
    REFUSE_PROFILES = "refuse_profiles"  # every charging profile is answered with Rejected
    IGNORE_PROFILES = "ignore_profiles"  # profiles are accepted and not followed
    CLOCK_SKEW = "clock_skew"  # the station's clock is `value` seconds ahead
    STUCK_METER = "stuck_meter"  # power and registers keep reporting what they showed
    FAIL_FIRMWARE = "fail_firmware"  # firmware is fetched and cannot be installed
    FAULTED_CONNECTOR = "faulted_connector"  # connectors report Faulted, transactions end, nothing flows


class StationFaults:
    """The faults of one station, each with its end and its value."""

    def __init__(self) -> None:
        self._faults: dict[Fault, tuple[datetime, float]] = {}

    def set(self, fault: Fault, *, now: datetime, for_s: float | None = None, value: float = 0.0) -> None:
        """Begin a fault, or replace it; without `for_s` it lasts until it is cleared."""
        ends_at = FOREVER.replace(tzinfo=now.tzinfo) if for_s is None else now + timedelta(seconds=for_s)
        self._faults[fault] = (ends_at, value)

    def clear(self, fault: Fault | None = None) -> None:
        """End one fault, or all."""
        if fault is None:
            self._faults.clear()
        else:
            self._faults.pop(fault, None)

    def active(self, fault: Fault, now: datetime) -> bool:
        """Whether the fault is there."""
        if not self._faults:
            return False
        ends_at, _ = self._faults.get(fault, (now, 0.0))
        return now < ends_at

    def skew_s(self, now: datetime) -> float:
        """Seconds by which the station's clock is ahead."""
        if not self.active(Fault.CLOCK_SKEW, now):
            return 0.0
        return self._faults[Fault.CLOCK_SKEW][1]

    def names(self, now: datetime) -> list[str]:
        """The faults there are now."""
        return sorted(fault.value for fault in self._faults if self.active(fault, now))
