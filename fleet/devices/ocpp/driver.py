"""Commands -> OCPP calls: what `fleet.devices.gateway` hands commands to in the OCPP gateway."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from django.conf import settings

from fleet.core.local_control import LocalControl, LocalControlInvalid, read_local_control
from fleet.devices.ocpp.answers import judge_answer
from fleet.devices.ocpp.certificate_requests import new_password
from fleet.devices.ocpp.configuration import profile_terms, rate_unit, remember
from fleet.devices.ocpp.connection import CallRefused, NoAnswer, Overtaken, StationConnection
from fleet.devices.ocpp.der import note_answer
from fleet.devices.ocpp.dynamic import DynamicProfiles
from fleet.devices.ocpp.profiles import (
    AMPERES,
    FALLBACK_STACK_LEVEL,
    WATTS,
    ProfileTerms,
    charging_profile,
    fallback_profile,
    profile_id,
)
from fleet.devices.ocpp.requests import clear_profile, request_of
from fleet.devices.ocpp.schemas import PayloadError
from fleet.devices.ocpp.station import Station
from fleet.devices.ocpp.verification import UNKNOWN, Verifier
from fleet.devices.ocpp.writer import Work
from fleet.models import CommandKind
from fleet.operations.commands import CommandOutcome, DueCommand
from fleet.operations.secrets import hash_secret
from fleet.operations.station_access import offer_password
from fleet.operations.stations import EvseIdentity

# How long a station may still be held at what it was last told, while a schedule that begins later waits.
LONGEST_HOLD = timedelta(minutes=15)


class OcppDriver:
    """Carries commands to the stations connected to this process. Implements `SetsPower` and `DeliversCommands`."""

    def __init__(self, connections: Mapping[str, StationConnection], clock: Callable[[], datetime]) -> None:
        self._connections = connections
        self._clock = clock
        self._newest: dict[int, int] = {}
        self._last_schedule: dict[int, DueCommand] = {}
        self._dynamic = DynamicProfiles()
        self._verifier = Verifier(clock)
        # assets with a profile that was meant for before the transaction
        self._has_default: set[int] = set()

    async def deliver(self, command: DueCommand) -> CommandOutcome | None:
        """Deliver a command; None if its station is not here, did not answer, or a newer command overtook this one."""
        connection = self._connections.get(command.charger_identity)
        if connection is None:
            return None
        if command.kind == CommandKind.SET_POWER:
            return await self.set_power(command)
        if command.kind == CommandKind.NEW_PASSWORD:
            return await self._new_password(connection, command)
        try:
            action, payload = request_of(command, connection.station.version)
        except ValueError as error:
            now = self._clock()
            return CommandOutcome(command.command_id, False, now, now, {}, str(error))
        outcome = await self._call(connection, command, action, payload)
        if outcome is not None:
            note_answer(connection.station, command, outcome)
        return outcome

    async def _new_password(self, connection: StationConnection, command: DueCommand) -> CommandOutcome | None:
        """Make up a password and give it to the station. It lets the station in before the station knows it, and is the
        same when the command is tried again, so that no answer that is lost locks the station out; it is written down
        as a hash only."""
        password = _password_of(command)
        offer = partial(
            offer_password,
            identity=connection.station.identity,
            password_hash=hash_secret(password, generated=True),
        )
        await connection.station.books.write(Work(operation=offer))
        return await self._call(connection, command, *new_password(password, connection.station.version))

    async def set_power(self, command: DueCommand) -> CommandOutcome | None:
        """Turn a schedule into the profile that the station can follow, and send it.

        A station that refuses watts is tried in amperes, one that refuses a Dynamic profile with an Absolute one; what
        works is remembered. One that holds a Dynamic profile until the same instant is sent the new set-point alone.
        """
        connection = self._connections.get(command.charger_identity)
        evse = connection.station.evses.get(command.evse_number) if connection is not None else None
        if connection is None or evse is None:
            return None
        self._newest[command.asset_id] = max(command.sequence, self._newest.get(command.asset_id, 0))
        try:
            terms = _terms(connection.station, evse, command)
        except LocalControlInvalid as error:
            now = self._clock()
            return CommandOutcome(command.command_id, False, now, now, {}, str(error))
        outcome = await self._update_or_send(connection, command, terms)
        for other, learnt in _other_ways(connection.station, terms):
            if outcome is None or outcome.accepted:
                break
            outcome = await self._send_profile(connection, command, other)
            if outcome is not None and outcome.accepted:
                remember(connection.station, learnt)
        if outcome is not None and outcome.accepted:
            self._last_schedule[command.asset_id] = command
            self._tidy(connection, command, terms)
            self._verifier.verify_later(connection, command, terms)
        _note_smart_charging(connection.station, outcome)
        return outcome

    async def _update_or_send(
        self, connection: StationConnection, command: DueCommand, terms: ProfileTerms
    ) -> CommandOutcome | None:
        now = self._clock()
        update = self._dynamic.update(connection, command, terms, now=now, held_kw=self._held_kw(command, now))
        if update is not None:
            outcome = await self._call(connection, command, "UpdateDynamicSchedule", update)
            if outcome is None or outcome.accepted:
                return outcome
            self._dynamic.forget(command.asset_id)
        return await self._send_profile(connection, command, terms)

    def _tidy(self, connection: StationConnection, command: DueCommand, terms: ProfileTerms) -> None:
        """Take back the profile from before the transaction once one of the transaction's own holds."""
        if not command.transaction_id:
            self._has_default.add(command.asset_id)
        elif command.asset_id in self._has_default:
            self._has_default.discard(command.asset_id)
            connection.start(_clear_default(connection, terms))

    async def _send_profile(
        self, connection: StationConnection, command: DueCommand, terms: ProfileTerms
    ) -> CommandOutcome | None:
        now = self._clock()
        payload = charging_profile(
            starts_at=command.starts_at,
            offset_s=command.offset_s,
            power_kw=command.power_kw,
            valid_until=command.valid_until,
            now=now,
            terms=terms,
            held_kw=self._held_kw(command, now),
        )
        outcome = await self._call(connection, command, "SetChargingProfile", payload)
        self._dynamic.note(connection, command, payload, accepted=outcome is not None and outcome.accepted)
        return outcome

    def _held_kw(self, command: DueCommand, now: datetime) -> float | None:
        """What the asset was last told for this instant, if that still holds and was meant for the same car."""
        last = self._last_schedule.get(command.asset_id)
        if last is None or last.transaction_id != command.transaction_id:
            return None
        if not last.starts_at <= now < last.valid_until or command.starts_at - now > LONGEST_HOLD:
            return None
        elapsed_s = (now - last.starts_at).total_seconds()
        held = last.power_kw[0]
        for offset, power in zip(last.offset_s, last.power_kw, strict=True):
            if offset <= elapsed_s:
                held = power
        return held

    async def _call(
        self, connection: StationConnection, command: DueCommand, action: str, payload: dict[str, Any]
    ) -> CommandOutcome | None:
        sent_at = self._clock()

        def still_wanted() -> bool:
            nonlocal sent_at
            sent_at = self._clock()
            return command.kind != CommandKind.SET_POWER or self._newest[command.asset_id] <= command.sequence

        try:
            answer = await connection.call(action, payload, command_id=command.command_id, before_send=still_wanted)
        except (NoAnswer, Overtaken):
            return None
        except CallRefused as error:
            connection.station.say_once(f"refused {action}", "refuses %s: %s", action, error)
            return CommandOutcome(command.command_id, False, sent_at, self._clock(), {"error": error.code}, str(error))
        except PayloadError as error:
            # ours, not the station's: it must be seen, and must not be tried for ever
            connection.station.report_fault(action, error)
            return CommandOutcome(command.command_id, False, sent_at, self._clock(), {}, f"not sent: {error}")
        accepted, reason = judge_answer(action, answer)
        return CommandOutcome(command.command_id, accepted, sent_at, self._clock(), answer, reason)


def _note_smart_charging(station: Station, outcome: CommandOutcome | None) -> None:
    """Remember whether the station knows charging profiles at all: one that does not is planned around."""
    if outcome is None:
        return
    if outcome.accepted:
        able = True
    elif outcome.answer.get("error") in UNKNOWN:
        able = False
    else:
        return
    if station.capabilities.get("smart_charging", True) != able:
        remember(station, {"smart_charging": able})


def _terms(station: Station, evse: EvseIdentity, command: DueCommand) -> ProfileTerms:
    """What the command's profile has to respect.

    Raises:
        LocalControlInvalid: it asks for a mode of operation that this station does not have.
    """
    control = read_local_control(command.parameters.get("local_control"))
    terms = profile_terms(
        station,
        evse,
        transaction_id=command.transaction_id,
        bidirectional=command.bidirectional,
        control=control,
    )
    if control != LocalControl() and not terms.signed:
        if command.parameters.get("standing"):
            # the EVSE's rule waits for a car that can follow it
            return replace(terms, control=LocalControl())
        raise LocalControlInvalid(
            f"This station does not do {control.mode} now.",
            field="local_control.mode",
            remedy="It needs OCPP 2.1, a car that has agreed to discharge, and that mode among its own.",
        )
    return terms


def _password_of(command: DueCommand) -> str:
    """A password that only this platform's key can make, 128 bits as 32 characters: every version takes 16 to 40."""
    text = f"station password {command.charger_identity} {command.command_id}"
    return hmac.digest(settings.SECRET_KEY.encode(), text.encode(), "sha256").hex()[:32]


async def _clear_default(connection: StationConnection, terms: ProfileTerms) -> None:
    before = replace(terms, transaction_id="")
    try:
        if terms.max_stack_level == FALLBACK_STACK_LEVEL:
            # it stood in the fall-back's place
            await connection.call("SetChargingProfile", fallback_profile(replace(before, bidirectional=False)))
        else:
            await connection.call(*clear_profile(profile_id(before), connection.station.version))
    except (CallRefused, NoAnswer) as error:
        connection.station.say_once("clear", "does not take back a profile: %s", error)


def _other_ways(station: Station, terms: ProfileTerms) -> list[tuple[ProfileTerms, dict[str, Any]]]:
    """What else to try when a profile is refused, with what its success would teach; nothing once that is known."""
    ways: list[tuple[ProfileTerms, dict[str, Any]]] = []
    if terms.signed and terms.dynamic:
        ways.append((replace(terms, dynamic=False), {"dynamic": False}))
    elif not terms.signed and "rate_unit" not in station.capabilities:
        other = AMPERES if rate_unit(station) == WATTS else WATTS
        ways.append((replace(terms, rate_unit=other), {"rate_unit": other}))
    return ways


def utc_now() -> datetime:
    """The wall clock of this process."""
    return datetime.now(UTC)
