"""Sampled values of every shape that stations use become readings with the platform's units and signs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from fleet.devices.ocpp.samples import first_import_kwh, last_import_kwh, last_soc_fraction, read_meter_values
from fleet.devices.ocpp.wire import V16, V21, V201
from fleet.operations.trace import redacted, traced_payload

NOON = datetime(2026, 5, 4, 12, 0, 0, tzinfo=UTC)


def reading_of(*samples: dict[str, Any], version: str = V201) -> Any:
    values = [{"timestamp": "2026-05-04T12:00:00Z", "sampledValue": list(samples)}]
    readings = read_meter_values(values, asset_id=7, version=version)
    return readings[0] if readings else None


def v2(value: float, measurand: str, unit: str | None = None, **more: Any) -> dict[str, Any]:
    unit_of_measure = {"unitOfMeasure": {"unit": unit}} if unit else {}
    return {"value": value, "measurand": measurand, **unit_of_measure, **more}


def test_default_measurand_is_the_import_register_in_wh() -> None:
    assert reading_of({"value": "1500"}, version=V16).import_kwh == 1.5
    assert reading_of({"value": 1500}).import_kwh == 1.5


@pytest.mark.parametrize(
    ("samples", "power_kw"),
    [
        ([v2(7400, "Power.Active.Import", "W")], 7.4),
        ([v2(7.4, "Power.Active.Import", "kW")], 7.4),
        ([v2(7400, "Power.Active.Import")], 7.4),
        ([v2(74, "Power.Active.Import", unitOfMeasure={"unit": "W", "multiplier": 2})], 7.4),
        ([v2(5000, "Power.Active.Export", "W")], -5.0),
        ([v2(0, "Power.Active.Import", "W"), v2(5000, "Power.Active.Export", "W")], -5.0),
        ([v2(2000, "Power.Active.Import", "W", phase=phase) for phase in ("L1", "L2", "L3")], 6.0),
        ([v2(2000, "Power.Active.Import", "W", phase="L1-N"), v2(6100, "Power.Active.Import", "W")], 6.1),
        ([v2(16, "Current.Import", "A", phase="L1"), v2(225, "Voltage", "V", phase="L1")], 3.6),
        ([v2(10, "Current.Import", "A", phase=phase) for phase in ("L1", "L2", "L3")], 6.9),
        ([v2(10, "Current.Export", "A", phase="L1"), v2(240, "Voltage", "V")], -2.4),
        # what flows into the station is not what flows into the car
        ([v2(9000, "Power.Active.Import", "W", location="Inlet"), v2(7000, "Power.Active.Import", "W")], 7.0),
    ],
)
def test_power(samples: list[dict[str, Any]], power_kw: float) -> None:
    assert reading_of(*samples).power_kw == pytest.approx(power_kw)


def test_registers_both_ways_and_the_rest() -> None:
    found = reading_of(
        v2(12000, "Energy.Active.Import.Register", "Wh"),
        v2(3.5, "Energy.Active.Export.Register", "kWh"),
        v2(55, "SoC", "Percent", location="EV"),
        v2(77, "Temperature", "Fahrenheit", location="Body"),
        v2(50, "Frequency", "Hertz"),
        v2(-4000, "Power.Active.Setpoint", "W"),
        version=V21,
    )
    assert (found.asset_id, found.measured_at, found.power_kw) == (7, NOON, None)
    assert (found.import_kwh, found.export_kwh, found.soc_fraction) == (12.0, 3.5, 0.55)
    assert found.temperature_c == pytest.approx(25.0)


@pytest.mark.parametrize(
    "sample",
    [
        {"value": "NaN"},
        {"value": "inf"},
        {"value": "a lot"},
        {"value": "1", "unit": "kvarh"},
        {"value": "AB12", "format": "SignedData"},
        {"value": "3", "measurand": "Frequency"},
    ],
)
def test_what_says_nothing_of_use_is_no_reading(sample: dict[str, Any]) -> None:
    assert reading_of(sample, version=V16) is None


def test_first_and_last() -> None:
    values = [
        {"timestamp": "2026-05-04T12:10:00Z", "sampledValue": [v2(900, "Energy.Active.Import.Register", "Wh")]},
        {
            "timestamp": "2026-05-04T12:00:00Z",
            "sampledValue": [v2(400, "Energy.Active.Import.Register", "Wh"), v2(40, "SoC")],
        },
    ]
    readings = read_meter_values(values, asset_id=7, version=V201)
    assert (first_import_kwh(readings), last_import_kwh(readings), last_soc_fraction(readings)) == (0.4, 0.9, 0.4)
    assert first_import_kwh([]) is None


def test_secrets_leave_the_trace_wherever_they_stand() -> None:
    hidden = redacted(
        {
            "idTag": "A",
            "idToken": {"idToken": "B", "type": "Local", "additionalInfo": [{"additionalIdToken": "C", "type": "x"}]},
            "key": "AuthorizationKey",
            "value": "D",
            "setVariableData": [
                {
                    "attributeValue": "E",
                    "variable": {"name": "BasicAuthPassword"},
                    "component": {"name": "SecurityCtrlr"},
                },
                {"attributeValue": "30", "variable": {"name": "Interval"}, "component": {"name": "X"}},
            ],
        }
    )
    text = orjson.dumps(hidden).decode()
    assert not any(f'"{secret}"' in text for secret in "ABCDE")
    assert '"30"' in text and '"Local"' in text


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        (b'{"a": 1}', '{"a": 1}'),
        (b'{"idTag": "A"}', '{"idTag":"***"}'),
        (b'{"id\\u0054ag": "A"}', '{"idTag":"***"}'),
        (b'{"a": "\\u0000b"}', '{"a":"\\ufffdb"}'),
        (b'{"a": "' + b"x" * 70_000 + b'"}', '{"left out": "70009 bytes"}'),
    ],
)
def test_what_the_trace_keeps(raw: bytes, kept: str) -> None:
    assert traced_payload(raw) == kept
