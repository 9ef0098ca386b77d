"""The twin's stations against a small central system: what they do when they are called."""

from __future__ import annotations

import pytest

from tests.conformance.central_system import CentralSystem
from tests.conformance.stage import Stage, each_version, play


@each_version
def test_settings_are_read_and_changed(protocol: str) -> None:
    async def story(stage: Stage) -> None:
        await stage.charging()
        if stage.old:
            known = await stage.call("GetConfiguration", {"key": ["MeterValueSampleInterval", "Nonsense"]})
            assert known["unknownKey"] == ["Nonsense"]
            for key, value, status in (
                ("MeterValueSampleInterval", "1", "Accepted"),
                ("MeterValueSampleInterval", "soon", "Rejected"),
                ("NumberOfConnectors", "5", "Rejected"),
                ("Nonsense", "5", "NotSupported"),
                ("MeterValuesSampledData", "Temperature", "Rejected"),
            ):
                answer = await stage.call("ChangeConfiguration", {"key": key, "value": value})
                assert answer["status"] == status, key
            everything = await stage.call("GetConfiguration", {})
            assert len(everything["configurationKey"]) > 20
            assert not any(
                "value" in each for each in everything["configurationKey"] if each["key"] == "AuthorizationKey"
            )
        else:

            def variable(component: str, name: str, **more: str) -> dict:
                return {"component": {"name": component}, "variable": {"name": name}, **more}

            asked = [
                variable("SampledDataCtrlr", "TxUpdatedInterval", attributeValue="1"),
                variable("SampledDataCtrlr", "TxUpdatedInterval", attributeValue="soon"),
                variable("TxCtrlr", "TxStartPoint", attributeValue="PowerPathClosed"),
                variable("Nonsense", "TxStartPoint", attributeValue="1"),
                variable("TxCtrlr", "Nonsense", attributeValue="1"),
            ]
            answer = await stage.call("SetVariables", {"setVariableData": asked})
            statuses = [result["attributeStatus"] for result in answer["setVariableResult"]]
            assert statuses == ["Accepted", "Rejected", "Rejected", "UnknownComponent", "UnknownVariable"]
            asked = [
                variable("SampledDataCtrlr", "TxUpdatedInterval"),
                variable("SecurityCtrlr", "BasicAuthPassword"),
                variable("TxCtrlr", "TxStartPoint", attributeType="Target"),
            ]
            answer = await stage.call("GetVariables", {"getVariableData": asked})
            results = answer["getVariableResult"]
            assert results[0]["attributeValue"] == "1"
            assert [each["attributeStatus"] for each in results[1:]] == ["Rejected", "NotSupportedAttributeType"]
            await stage.call("GetBaseReport", {"requestId": 5, "reportBase": "FullInventory"})
            await stage.until(lambda: any(not each["tbc"] for each in stage.central.of("CP", "NotifyReport")))
            parts = stage.central.of("CP", "NotifyReport")
            assert [part["seqNo"] for part in parts] == list(range(len(parts)))
            assert sum(len(part["reportData"]) for part in parts) > 20
        assert stage.station.sample_interval_s == 1.0

    play(protocol, story)


@each_version
def test_a_transaction_is_stopped_and_started_from_afar(protocol: str) -> None:
    async def story(stage: Stage) -> None:
        wire_id = await stage.charging()
        if stage.old:
            stop, start = "RemoteStopTransaction", "RemoteStartTransaction"
            wrong, right = {"transactionId": 99_999}, {"transactionId": int(wire_id)}
            order: dict = {"connectorId": 1, "idTag": "REMOTE"}
        else:
            stop, start = "RequestStopTransaction", "RequestStartTransaction"
            wrong, right = {"transactionId": "another"}, {"transactionId": wire_id}
            order = {"evseId": 1, "remoteStartId": 31, "idToken": {"idToken": "REMOTE", "type": "Central"}}
        assert (await stage.call(stop, wrong))["status"] == "Rejected"
        assert (await stage.call(start, order))["status"] == "Rejected"
        assert (await stage.call(stop, right))["status"] == "Accepted"
        await stage.until(stage.over)
        assert stage.evse.power_kw == 0.0
        await stage.until(lambda: stage.statuses()[-1] == ("Finishing" if stage.old else "Occupied"))
        assert (await stage.call(start, order))["status"] == "Accepted"
        await stage.until(lambda: len(stage.begun()) == 2 and stage.evse.power_kw > 10.9)
        if stage.old:
            assert stage.over()[0]["reason"] == "Remote"
            assert stage.begun()[1]["idTag"] == "REMOTE"
        else:
            assert stage.over()[0]["transactionInfo"]["stoppedReason"] == "Remote"
            assert stage.begun()[1]["transactionInfo"]["remoteStartId"] == 31

    play(protocol, story)


@each_version
def test_messages_are_triggered_and_connectors_put_out_of_service(protocol: str) -> None:
    async def story(stage: Stage) -> None:
        await stage.booted()
        await stage.until(stage.statuses)
        where = {"connectorId": 1} if stage.old else {"evse": {"id": 1, "connectorId": 1}}
        for message in ("BootNotification", "Heartbeat", "MeterValues", "StatusNotification"):
            count = len(stage.central.of("CP", message))
            answer = await stage.call("TriggerMessage", {"requestedMessage": message, **where})
            assert answer["status"] == "Accepted"
            await stage.until(lambda message=message, count=count: len(stage.central.of("CP", message)) > count)
        idle = await stage.call("TriggerMessage", {"requestedMessage": "FirmwareStatusNotification"})
        assert idle["status"] == "Accepted"
        told = await stage.until(lambda: stage.central.of("CP", "FirmwareStatusNotification"))
        assert told == [{"status": "Idle"}]
        change = (
            {"connectorId": 1, "type": "Inoperative"} if stage.old else {"operationalStatus": "Inoperative", **where}
        )
        assert (await stage.call("ChangeAvailability", change))["status"] == "Accepted"
        await stage.until(lambda: stage.statuses()[-1] == "Unavailable")
        unlock = await stage.call("UnlockConnector", {"connectorId": 1, **({} if stage.old else {"evseId": 1})})
        assert unlock["status"] == "Unlocked"

    play(protocol, story)


@each_version
def test_a_reset_ends_the_transaction_boots_and_serves_again(protocol: str) -> None:
    async def story(stage: Stage) -> None:
        await stage.charging()
        answer = await stage.call("Reset", {"type": "Hard" if stage.old else "Immediate"})
        assert answer["status"] == "Accepted"
        await stage.until(lambda: len(stage.central.of("CP", "BootNotification")) == 2)
        await stage.until(lambda: len(stage.begun()) == 2 and len(stage.over()) == 1)
        if stage.old:
            assert stage.over()[0]["reason"] == "HardReset"
        else:
            assert stage.over()[0]["transactionInfo"]["stoppedReason"] == "ImmediateReset"
            assert stage.central.of("CP", "BootNotification")[1]["reason"] == "RemoteReset"

    play(protocol, story)


@each_version
def test_calls_that_make_no_sense_are_answered_with_their_error(protocol: str) -> None:
    async def story(stage: Stage) -> None:
        await stage.booted()
        codes = []
        for action, payload in (
            ("TurnIntoAPumpkin", {}),
            ("Heartbeat", {}),
            ("TriggerMessage", {}),
            ("TriggerMessage", {"requestedMessage": 5}),
        ):
            codes.append((await stage.central.call("CP", action, payload, checked=False))["error"])
        required = "OccurenceConstraintViolation" if stage.old else "OccurrenceConstraintViolation"
        assert codes[:3] == ["NotImplemented", "NotSupported", required]
        assert codes[3] in ("TypeConstraintViolation", "PropertyConstraintViolation")
        violations = stage.program.clients["CP"].link.violations
        assert len(violations) == 2
        violations.clear()

    play(protocol, story)


def test_profiles_are_reported() -> None:
    async def story(stage: Stage) -> None:
        await stage.charging()
        await stage.set_profile([{"startPeriod": 0, "limit": 6000}])
        nothing = {"requestId": 1, "chargingProfile": {"stackLevel": 5}}
        assert (await stage.call("GetChargingProfiles", nothing))["status"] == "NoProfiles"
        something = {"requestId": 2, "chargingProfile": {"chargingProfilePurpose": "TxProfile"}}
        assert (await stage.call("GetChargingProfiles", something))["status"] == "Accepted"
        report = (await stage.until(lambda: stage.central.of("CP", "ReportChargingProfiles")))[0]
        assert (report["requestId"], report["evseId"], report["tbc"]) == (2, 1, False)
        assert report["chargingProfile"][0]["id"] == 7

    play("ocpp2.0.1", story)


def test_a_car_gives_energy_back_where_it_is_allowed() -> None:
    def prepare(central: CentralSystem) -> None:
        central.answers["Authorize"] = lambda who, what: {"idTokenInfo": {"status": "Accepted"}}

    async def story(stage: Stage) -> None:
        wire_id = await stage.charging()
        back = [{"startPeriod": 0, "operationMode": "CentralSetpoint", "setpoint": -7000.0, "dischargeLimit": -9000.0}]
        # nothing was said of giving back: charging only
        assert (await stage.set_profile(back, chargingProfileKind="Dynamic"))["status"] == "Rejected"
        needs = (await stage.until(lambda: stage.central.of("CP", "NotifyEVChargingNeeds")))[0]["chargingNeeds"]
        assert needs["requestedEnergyTransfer"] == "AC_three_phase"
        assert "AC_BPT" in needs["availableEnergyTransfer"]

        allowed = {"transactionId": wire_id, "allowedEnergyTransfer": ["AC_three_phase", "AC_BPT"]}
        assert (await stage.call("NotifyAllowedEnergyTransfer", allowed))["status"] == "Accepted"
        needs = (
            await stage.until(
                lambda: [
                    each["chargingNeeds"]
                    for each in stage.central.of("CP", "NotifyEVChargingNeeds")
                    if "v2xChargingParameters" in each["chargingNeeds"]
                ]
            )
        )[0]
        both_ways = needs["v2xChargingParameters"]
        assert needs["requestedEnergyTransfer"] == "AC_BPT"
        assert (both_ways["maxChargePower"], both_ways["maxDischargePower"]) == (11_000, 10_000)
        assert both_ways["evTargetEnergyRequest"] == pytest.approx(18_000 / 0.92, rel=0.01)
        assert both_ways["evMinV2XEnergyRequest"] == pytest.approx(-12_000 * 0.92, rel=0.01)

        assert (await stage.set_profile(back, chargingProfileKind="Dynamic"))["status"] == "Accepted"
        await stage.until(lambda: abs(stage.evse.power_kw + 7.0) < 1e-6)
        for setpoint, power_kw in ((-3000.0, -3.0), (-12_000.0, -9.0), (6000.0, 6.0)):
            update = {"chargingProfileId": 7, "scheduleUpdate": {"setpoint": setpoint}}
            assert (await stage.call("UpdateDynamicSchedule", update))["status"] == "Accepted"
            await stage.until(lambda power_kw=power_kw: abs(stage.evse.power_kw - power_kw) < 1e-6)
        assert stage.evse.meter.export_wh > 0
        told = [
            {value["measurand"]: value["value"] for value in event["meterValue"][0]["sampledValue"]}
            for event in stage.events("Updated")
        ]
        assert max(each["Power.Active.Export"] for each in told) == pytest.approx(9000)
        assert {-7000.0, -9000.0} & {each.get("Power.Active.Setpoint") for each in told}
        exported = [each["Energy.Active.Export.Register"] for each in told]
        assert exported == sorted(exported)

        allowed["allowedEnergyTransfer"] = ["AC_three_phase"]
        assert (await stage.call("NotifyAllowedEnergyTransfer", allowed))["status"] == "Accepted"
        update = {"chargingProfileId": 7, "scheduleUpdate": {"setpoint": -5000.0}}
        assert (await stage.call("UpdateDynamicSchedule", update))["status"] == "Rejected"

    play("ocpp2.1", story, prepare)
