"""The twin's stations against a small central system: what they tell, one body for all three versions."""

from __future__ import annotations

import asyncio

import pytest

from fleet.twin.faults import Fault
from tests.conformance.central_system import CentralSystem
from tests.conformance.stage import Stage, each_version, now, play, text_of


@each_version
def test_a_session_is_told_from_boot_to_unplug(protocol: str) -> None:
    async def story(stage: Stage) -> None:
        await stage.charging()
        await asyncio.sleep(1)
        await stage.do("unplug", car="EV")
        await stage.until(lambda: stage.over() and stage.statuses()[-1] == "Available")
        actions = [action for _, action, _ in stage.central.calls]
        assert actions[0] == "BootNotification"
        assert actions.index("Authorize") < actions.index("StartTransaction" if stage.old else "TransactionEvent")
        assert stage.statuses()[0] == "Available"
        assert ("Charging" if stage.old else "Occupied") in stage.statuses()
        if stage.old:
            values = stage.central.of("CP", "MeterValues")[-1]["meterValue"][0]["sampledValue"]
            assert stage.over()[0]["reason"] == "EVDisconnected"
            told = {value["measurand"]: float(value["value"]) for value in values}
        else:
            assert [event["seqNo"] for event in stage.central.of("CP", "TransactionEvent")] == list(
                range(len(stage.central.of("CP", "TransactionEvent")))
            )
            values = stage.events("Updated")[-1]["meterValue"][0]["sampledValue"]
            told = {value["measurand"]: value["value"] for value in values}
            assert stage.over()[0]["transactionInfo"]["stoppedReason"] == "EVDisconnected"
            assert stage.central.of("CP", "NotifyEVChargingNeeds")[0]["chargingNeeds"]["departureTime"] > text_of(now())
        assert told["Power.Active.Import"] == pytest.approx(11_000)
        assert told["SoC"] == pytest.approx(50, abs=0.1)
        assert told["Energy.Active.Import.Register"] > 2

    play(protocol, story)


@each_version
def test_limits_in_watts_and_amperes_are_followed_and_foretold(protocol: str) -> None:
    async def story(stage: Stage) -> None:
        await stage.charging()
        periods = [{"startPeriod": 0, "limit": 6000}, {"startPeriod": 60, "limit": 0}]
        assert (await stage.set_profile(periods))["status"] == "Accepted"
        await stage.until(lambda: abs(stage.evse.power_kw - 6.0) < 1e-6)
        where = {"connectorId": 1} if stage.old else {"evseId": 1}
        answer = await stage.call("GetCompositeSchedule", {**where, "duration": 300, "chargingRateUnit": "W"})
        schedule = answer["chargingSchedule" if stage.old else "schedule"]
        foretold = [(period["startPeriod"], period["limit"]) for period in schedule["chargingSchedulePeriod"]]
        assert foretold[0] == (0, 6000)
        assert 50 <= foretold[1][0] <= 60
        assert foretold[1][1] == 0
        assert (await stage.set_profile([{"startPeriod": 0, "limit": 10}], unit="A"))["status"] == "Accepted"
        await stage.until(lambda: abs(stage.evse.power_kw - 6.9) < 1e-6)
        # below 6 A on three phases a car does not charge
        assert (await stage.set_profile([{"startPeriod": 0, "limit": 5}], unit="A"))["status"] == "Accepted"
        await stage.until(lambda: stage.evse.power_kw == 0.0)
        await stage.until(lambda: stage.evse.transaction.charging_state == "SuspendedEVSE")
        cleared = await stage.call("ClearChargingProfile", {"id": 7} if stage.old else {"chargingProfileId": 7})
        assert cleared["status"] == "Accepted"
        await stage.until(lambda: stage.evse.power_kw > 10.9)

    play(protocol, story)


@each_version
def test_profiles_that_a_real_station_refuses_are_refused(protocol: str) -> None:
    async def story(stage: Stage) -> None:
        await stage.charging()
        for wrong in (
            {"periods": [{"startPeriod": 0, "limit": -6000}]},
            {"periods": [{"startPeriod": 1, "limit": 6000}]},
            {"periods": [{"startPeriod": 0, "limit": 6000}], "stackLevel": 999},
            {"periods": [{"startPeriod": 0, "limit": 6000}], "transactionId": 99_999 if stage.old else "another"},
        ):
            assert (await stage.set_profile(**wrong))["status"] == "Rejected", wrong
        assert (await stage.set_profile([{"startPeriod": 0, "limit": 6000}]))["status"] == "Accepted"
        second = await stage.set_profile([{"startPeriod": 0, "limit": 7000}], number=8)
        if stage.old:
            assert second["status"] == "Accepted"
        else:
            assert second["statusInfo"]["reasonCode"] == "DuplicateProfile"

    play(protocol, story)


@each_version
def test_what_happens_while_cut_off_is_told_later_in_order(protocol: str) -> None:
    async def story(stage: Stage) -> None:
        await stage.charging()
        stage.central.refusing = True
        cut_at = now()
        await stage.do("fault", fault=Fault.DROP_CONNECTION, for_s=0.2)
        await asyncio.sleep(0.6)
        await stage.do("unplug", car="EV")
        unplugged_at = now()
        await stage.do("plug_in", car="EV")
        await stage.until(lambda: stage.evse.transaction is not None)
        await asyncio.sleep(0.6)
        assert stage.over() == []
        back_at = now()
        stage.central.refusing = False
        await stage.until(lambda: len(stage.begun()) == 2 and len(stage.station.queue) == 0)
        stopped, started = stage.over()[0], stage.begun()[1]
        calls = [payload for _, _, payload in stage.central.calls]
        assert calls.index(stopped) < calls.index(started)
        assert (
            text_of(cut_at) < stopped["timestamp"] <= text_of(unplugged_at) <= started["timestamp"] < text_of(back_at)
        )
        if stage.old:
            assert [start["connectorId"] for start in stage.begun()] == [1, 1]
            # readings taken before the number of the second transaction was known carry it all the same
            kept = [each for each in stage.central.of("CP", "MeterValues") if each["transactionId"] == 2]
            assert text_of(unplugged_at) < kept[0]["meterValue"][0]["timestamp"] < text_of(back_at)
        else:
            assert stopped["offline"]
            assert started["offline"]
        # a station that was only cut off does not boot
        assert len(stage.central.of("CP", "BootNotification")) == 1
        assert len(stage.over()) == 1

    play(protocol, story)


@each_version
def test_an_answer_that_was_lost_makes_the_station_tell_again(protocol: str) -> None:
    async def story(stage: Stage) -> None:
        await stage.charging()
        lost: list[dict] = []
        action = "StopTransaction" if stage.old else "TransactionEvent"

        def lose(identity: str, payload: dict) -> dict:
            ending = stage.old or payload["eventType"] == "Ended"
            if ending and not lost:
                lost.append(payload)
                stage.central.sockets["CP"].transport.abort()
            return {}

        stage.central.answers[action] = lose
        await stage.do("unplug", car="EV")
        await stage.until(lambda: len(stage.over()) == 2)
        assert stage.over()[0] == stage.over()[1]
        await stage.until(lambda: len(stage.station.queue) == 0)

    play(protocol, story)


@each_version
def test_a_driver_who_is_refused_does_not_charge(protocol: str) -> None:
    refused = {"status": "Invalid"}

    def prepare(central: CentralSystem) -> None:
        name = "idTagInfo" if protocol == "ocpp1.6" else "idTokenInfo"
        central.answers["Authorize"] = lambda identity, payload: {name: refused}

    async def story(stage: Stage) -> None:
        await stage.booted()
        await stage.do("plug_in", car="EV")
        await stage.until(lambda: stage.central.of("CP", "Authorize"))
        await asyncio.sleep(0.6)
        assert stage.begun() == []
        assert stage.evse.power_kw == 0.0

    play(protocol, story, prepare)


@each_version
def test_a_transaction_that_turns_out_to_be_refused_is_stopped(protocol: str) -> None:
    def prepare(central: CentralSystem) -> None:
        if protocol == "ocpp1.6":
            central.answers["StartTransaction"] = lambda who, what: {
                "transactionId": 1,
                "idTagInfo": {"status": "Blocked"},
            }
        else:
            central.answers["TransactionEvent"] = lambda who, what: (
                {"idTokenInfo": {"status": "Blocked"}} if "idToken" in what else {}
            )

    async def story(stage: Stage) -> None:
        await stage.booted()
        await stage.do("plug_in", car="EV")
        stopped = (await stage.until(stage.over))[0]
        reason = stopped["reason"] if stage.old else stopped["transactionInfo"]["stoppedReason"]
        assert reason == "DeAuthorized"

    play(protocol, story, prepare)


@each_version
def test_a_boot_that_is_not_accepted_is_tried_again(protocol: str) -> None:
    def prepare(central: CentralSystem) -> None:
        def later(identity: str, payload: dict) -> dict:
            boots = len(central.of("CP", "BootNotification"))
            status = "Pending" if boots == 1 else "Accepted"
            return {"currentTime": text_of(now()), "interval": 1, "status": status}

        central.answers["BootNotification"] = later

    async def story(stage: Stage) -> None:
        await stage.until(stage.statuses)
        actions = [action for _, action, _ in stage.central.calls]
        assert actions[:3] == ["BootNotification", "BootNotification", "StatusNotification"]
        # the interval of the answer is that of its heartbeats too
        await stage.until(lambda: stage.central.of("CP", "Heartbeat"))

    play(protocol, story, prepare)
