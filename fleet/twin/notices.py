"""What a station of OCPP 2.1 does of its own accord beside its transactions: fetching set-points of dynamic profiles, and
beginning and ending scheduled DER controls."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fleet.twin.charger import SimulatedStation


class Notices:
    """What has to be told, until a protocol's client has told it.

    Attributes:
        pulls_due: dynamic profiles whose set-point is to be fetched.
        der_controls: by identifier, the station's DER controls with their content as OCPP writes it.
        started_or_stopped: (identifier of a control, whether it began, when).
    """

    def __init__(self, station: SimulatedStation) -> None:
        self._station = station
        self._pulled_at: dict[int, datetime] = {}
        self.pulls_due: set[int] = set()
        self.der_controls: dict[str, dict] = {}
        self.started_or_stopped: list[tuple[str, bool, datetime]] = []
        # called with the station's own time at every step
        self.samplers: list[Callable[[datetime], None]] = []

    def look(self, own: datetime) -> None:
        """Note what is due at an instant of the station's own clock."""
        before = len(self.pulls_due) + len(self.started_or_stopped)
        self._note_pulls(own)
        self._start_and_stop(own)
        for sample in self.samplers:
            sample(own)
        if len(self.pulls_due) + len(self.started_or_stopped) > before:
            self._station.on_work()

    def discharge_fraction(self) -> float:
        """The share of their discharging power that LimitMaxDischarge leaves the station's cars."""
        shares = [
            control["content"].get("pctMaxDischargePower", 100.0) / 100
            for control in self.der_controls.values()
            if control["controlType"] == "LimitMaxDischarge"
            and not control["superseded"]
            and (control["running"] or "startTime" not in control["content"])
        ]
        return min(shares, default=1.0)

    def _note_pulls(self, own: datetime) -> None:
        """Dynamic profiles that have not been updated for their interval are to be fetched."""
        for profile in self._station.profiles:
            if not profile.update_interval_s:
                continue
            last = max(profile.received_at, self._pulled_at.get(profile.profile_id, profile.received_at))
            if (own - last).total_seconds() >= profile.update_interval_s and profile.valid(own, 0.0):
                self._pulled_at[profile.profile_id] = own
                self.pulls_due.add(profile.profile_id)

    def _start_and_stop(self, own: datetime) -> None:
        """Begin and end scheduled controls; one that has ended is gone."""
        for control_id, control in list(self.der_controls.items()):
            start = control["content"].get("startTime")
            if start is None:
                continue
            starts_at, duration_s = datetime.fromisoformat(start), control["content"].get("duration")
            runs = starts_at <= own and (duration_s is None or own < starts_at + timedelta(seconds=duration_s))
            if runs != control["running"]:
                control["running"] = runs
                self.started_or_stopped.append((control_id, runs, own))
                if not runs:
                    del self.der_controls[control_id]
