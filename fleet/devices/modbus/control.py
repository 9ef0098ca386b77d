"""Power schedules of packs: SunSpec holds one set-point at a time, so the gateway writes each entry when it begins.

Every write carries the time until the whole schedule ends as the pack's own revert timer. Should the gateway die, the
pack stays at the entry it has, its heartbeat watch or at the latest the timer takes it to its fail-safe power.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from common.errors import PlatformError
from fleet.core.timetable import PowerTimetable
from fleet.devices.modbus.endpoint import Endpoint
from fleet.devices.modbus.pack import SteeredPack
from fleet.devices.modbus.profile import InvalidProfile
from fleet.devices.modbus.sunspec import SunSpecError
from fleet.devices.modbus.wire import Busy, ModbusFault, Refused, Unreachable
from fleet.models import CommandKind
from fleet.operations.commands import CommandOutcome, DueCommand

logger = logging.getLogger(__name__)

RETRY_S = 1.0
BUSY_RETRIES, BUSY_RETRY_S = 5, 0.3
FIND_WITHIN_S, FIND_EVERY_S = 4.0, 0.1


@dataclass
class _Following:
    """A schedule that a pack follows or is going to."""

    sequence: int
    timetable: PowerTimetable
    fail_safe_kw: float
    task: asyncio.Task[None] | None = None

    def cancel(self) -> None:
        if self.task is not None and self.task is not asyncio.current_task():
            self.task.cancel()


class PackControl:
    """Delivers commands to packs; the driver of the Modbus gateway.

    Args:
        find: the end-point and the pack of an asset, if it can be reached now.
        clock: gives the instant.
    """

    def __init__(
        self,
        *,
        find: Callable[[int], tuple[Endpoint, SteeredPack] | None],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._find = find
        self._clock = clock
        self._current: dict[int, _Following] = {}
        self._coming: dict[int, _Following] = {}

    async def deliver(self, command: DueCommand) -> CommandOutcome | None:
        """Write the entry that holds now, and the later ones when they begin. None while the pack cannot be reached."""
        if command.kind != CommandKind.SET_POWER:
            return self._refused(command, f"A pack takes no {command.kind}; it takes power schedules.")
        return await self.set_power(command)

    async def set_power(self, command: DueCommand) -> CommandOutcome | None:
        """Follow a schedule (kW, + into the pack); an older one is dropped when this one begins."""
        now = self._clock()
        if now >= command.valid_until:
            return self._refused(command, "The schedule is over.")
        known = (self._current.get(command.asset_id), self._coming.get(command.asset_id))
        if any(other is not None and other.sequence > command.sequence for other in known):
            return self._refused(command, "A newer schedule has come before it.")
        timetable = PowerTimetable(command.starts_at, command.valid_until, command.offset_s, command.power_kw)
        following = _Following(command.sequence, timetable, command.fail_safe_kw)
        if now < command.starts_at:
            self._await_start(command.asset_id, following)
            answer = {"held_until": command.starts_at.isoformat()}
            return CommandOutcome(command.command_id, True, now, now, answer)
        self._follow(command.asset_id, following)
        await self._wait_until_found(command.asset_id)
        try:
            sent_at, power_kw = await self._write_patiently(command.asset_id, following)
        except (Refused, SunSpecError, InvalidProfile) as fault:
            return self._refused(command, str(fault), now)
        except ModbusFault:
            return None
        return CommandOutcome(command.command_id, True, sent_at, self._clock(), {"power_kw": power_kw})

    def resume(self, timetables: Mapping[int, PowerTimetable]) -> None:
        """Take up the schedules that packs were told by a gateway before this one; they yield to any new command."""
        for asset_id, timetable in timetables.items():
            if asset_id not in self._current and asset_id not in self._coming:
                following = _Following(-1, timetable, 0.0)
                if self._clock() < timetable.starts_at:
                    self._await_start(asset_id, following)
                else:
                    self._follow(asset_id, following)

    async def renew(self, asset_id: int) -> None:
        """Write the entry that holds now again: the pack was away and may have forgotten it."""
        following = self._current.get(asset_id)
        if following is not None and following.timetable.power_at(self._clock()) is not None:
            with suppress(PlatformError):  # the next entry, or the next return, tries again
                await self._write(asset_id, following)

    def stop(self) -> None:
        """Follow no schedule any longer; the packs' own timers take over."""
        for following in (*self._current.values(), *self._coming.values()):
            following.cancel()

    def _follow(self, asset_id: int, following: _Following) -> None:
        for schedules in (self._current, self._coming):
            if (older := schedules.pop(asset_id, None)) is not None:
                older.cancel()
        self._current[asset_id] = following
        if following.task is None and following.timetable.next_change_after(self._clock()) is not None:
            following.task = asyncio.create_task(self._keep_up(asset_id, following))

    def _await_start(self, asset_id: int, following: _Following) -> None:
        if (older := self._coming.pop(asset_id, None)) is not None:
            older.cancel()
        self._coming[asset_id] = following
        following.task = asyncio.create_task(self._keep_up(asset_id, following))

    async def _keep_up(self, asset_id: int, following: _Following) -> None:
        """Write every entry that is still to come, each when it begins."""
        while (change_at := following.timetable.next_change_after(self._clock())) is not None:
            await asyncio.sleep((change_at - self._clock()).total_seconds())
            if self._coming.get(asset_id) is following:
                self._coming.pop(asset_id)
                self._follow(asset_id, following)
            await self._write_until_done(asset_id, following)

    async def _write_until_done(self, asset_id: int, following: _Following) -> None:
        complained = False
        entry = following.timetable.entry_at(self._clock())
        while entry is not None and entry == following.timetable.entry_at(self._clock()):
            try:
                await self._write(asset_id, following)
                return
            except PlatformError as fault:
                if not complained:
                    logger.warning("asset %d does not take entry %d of its schedule: %s", asset_id, entry, fault)
                complained = True
                await asyncio.sleep(RETRY_S)

    async def _wait_until_found(self, asset_id: int) -> None:
        """Give a pack a moment to be found: commands wait already when a gateway starts."""
        deadline = asyncio.get_running_loop().time() + FIND_WITHIN_S
        while self._find(asset_id) is None and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(FIND_EVERY_S)

    async def _write_patiently(self, asset_id: int, following: _Following) -> tuple[datetime, float]:
        """As `_write`, and again for a moment while the device says that it is busy."""
        for _ in range(BUSY_RETRIES):
            try:
                return await self._write(asset_id, following)
            except Busy:
                await asyncio.sleep(BUSY_RETRY_S)
        return await self._write(asset_id, following)

    async def _write(self, asset_id: int, following: _Following) -> tuple[datetime, float]:
        """Write the entry that holds now; returns when, and its power. Raises ModbusFault, SunSpecError, InvalidProfile."""
        found = self._find(asset_id)
        if found is None:
            raise Unreachable(f"The pack of asset {asset_id} cannot be reached.", field="asset_id")
        endpoint, unit = found
        if not unit.remote:
            raise Refused("The pack is under local control.", remedy="Switch it to remote control at the cabinet.")
        link = await endpoint.control_link()
        now = self._clock()
        power_kw = following.timetable.power_at(now)
        if power_kw is None:
            raise Refused("The schedule is over.")
        holds_for_s = (following.timetable.valid_until - now).total_seconds()
        await unit.set_power(link, power_kw=power_kw, fail_safe_kw=following.fail_safe_kw, holds_for_s=holds_for_s)
        return now, power_kw

    def _refused(self, command: DueCommand, reason: str, sent_at: datetime | None = None) -> CommandOutcome:
        now = self._clock()
        return CommandOutcome(command.command_id, False, sent_at or now, now, {}, reason)
