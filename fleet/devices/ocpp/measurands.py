"""Sampled values beside readings: measurands that readings have no field for (most are 2.1's), and signed values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from fleet.devices.ocpp.instants import read_instant
from fleet.devices.ocpp.samples import DEFAULT_MEASURAND, READ
from fleet.devices.ocpp.station import Station
from fleet.devices.ocpp.writer import Work
from fleet.operations.measurands import FurtherValue, SignedValue, record_further_values, record_signed_values

# Nobody plans with these: the newest now and then is enough.
KEEP_EVERY = timedelta(seconds=10)
LONGEST_SIGNED = 32_768


def keep_beside(
    station: Station, meter_values: Sequence[dict[str, Any]], *, asset_id: int, transaction_id: str = ""
) -> bool:
    """Hand over, to be committed with or before what is written next, what `read_meter_values` leaves aside.

    Returns whether there was anything: then the message may be answered only after a write.

    Raises:
        PayloadError: a timestamp is none.
    """
    signed: list[SignedValue] = []
    further: list[FurtherValue] = []
    now = station.clock()
    last = station.further_kept_at.get(asset_id)
    due = last is None or now - last >= KEEP_EVERY
    for meter_value in meter_values:
        at: datetime | None = None
        for sample in meter_value["sampledValue"]:
            measurand = sample.get("measurand", DEFAULT_MEASURAND)
            is_signed = "signedMeterValue" in sample or sample.get("format") == "SignedData"
            if not is_signed and (measurand in READ or not due):
                continue
            at = at or read_instant(meter_value["timestamp"], field="meterValue.timestamp", version=station.version)
            if is_signed:
                signed.append(_signed(sample, asset_id, transaction_id, at, measurand))
            elif (value := _further(sample, asset_id, at, measurand)) is not None:
                further.append(value)
    _post(station, asset_id, signed, further, now)
    return bool(signed or further)


def _post(
    station: Station,
    asset_id: int,
    signed: Sequence[SignedValue],
    further: Sequence[FurtherValue],
    now: datetime,
) -> None:
    if signed:
        station.books.post(Work(operation=partial(record_signed_values, values=signed)))
    if further:
        station.further_kept_at[asset_id] = now
        station.books.post(Work(operation=partial(record_further_values, values=further)))


def _signed(sample: dict[str, Any], asset_id: int, transaction_id: str, at: datetime, measurand: str) -> SignedValue:
    """2.x signs beside the value, 1.6 in its place."""
    told = sample.get("signedMeterValue")
    return SignedValue(
        asset_id=asset_id,
        transaction_id=transaction_id[:64],
        measured_at=at,
        context=sample.get("context", "")[:30],
        measurand=measurand[:50],
        signed_data=(told["signedMeterData"] if told is not None else str(sample["value"]))[:LONGEST_SIGNED],
        signing_method=(told or {}).get("signingMethod", "")[:50],
        encoding_method=(told or {}).get("encodingMethod", "")[:50],
        public_key=(told or {}).get("publicKey", ""),
    )


def _further(sample: dict[str, Any], asset_id: int, at: datetime, measurand: str) -> FurtherValue | None:
    """A value as it was told, its power of ten applied; None if it is no number."""
    described = sample.get("unitOfMeasure", {})
    try:
        value = float(sample["value"]) * 10.0 ** max(-12, min(12, described.get("multiplier", 0)))
    except ValueError:
        return None
    if not math.isfinite(value):
        return None
    return FurtherValue(
        asset_id=asset_id,
        measurand=measurand[:50],
        phase=sample.get("phase", "")[:6],
        location=sample.get("location", "")[:10],
        value=value,
        unit=(described.get("unit") or sample.get("unit") or "")[:20],
        measured_at=at,
    )
