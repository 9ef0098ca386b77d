"""What stands behind a unit: a pack with the present or the earlier SunSpec models, or with a register profile."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from django.conf import settings

from fleet.devices.modbus.legacy_pack import MEASUREMENTS, SETTINGS, STORAGE_CONTROL, legacy_pack_of
from fleet.devices.modbus.pack import (
    AC_MEASUREMENT,
    BANK,
    BATTERY,
    CONTROLS,
    DC_MEASUREMENT,
    STORAGE,
    SteeredPack,
    pack_of,
)
from fleet.devices.modbus.profile import PROFILES, load_profile
from fleet.devices.modbus.profiled_pack import profiled_pack
from fleet.devices.modbus.sunspec import SunSpecError
from fleet.devices.modbus.unit import discover, read_scale_factors
from fleet.devices.modbus.wire import ModbusLink


def profile_folders() -> tuple[Path, ...]:
    """Where profiles are looked for: the installation's own folder first, then those that ship with the platform."""
    own = settings.MODBUS_PROFILES_DIR
    return (Path(own), PROFILES) if own else (PROFILES,)


async def find_pack(
    link: ModbusLink,
    *,
    asset_id: int,
    device_id: int,
    register_profile: str = "",
    folders: Sequence[Path] = (PROFILES,),
) -> SteeredPack:
    """Discover a pack.

    Raises:
        ModbusFault: the unit cannot be read.
        SunSpecError: the unit is no pack that can be read and steered.
        InvalidProfile, UnknownProfile: its profile cannot be used.
    """
    if register_profile:
        profile = load_profile(register_profile, folders=folders)
        return await profiled_pack(link, profile, asset_id=asset_id, device_id=device_id)
    unit = await discover(link, device_id)
    if AC_MEASUREMENT in unit.models and CONTROLS in unit.models:
        used = (AC_MEASUREMENT, CONTROLS, STORAGE, DC_MEASUREMENT, BATTERY, BANK)
        await read_scale_factors(link, unit, used)
        return pack_of(unit, asset_id)
    measurement = next((model_id for model_id in MEASUREMENTS if model_id in unit.models), None)
    if measurement is not None and STORAGE_CONTROL in unit.models:
        await read_scale_factors(link, unit, (measurement, SETTINGS, STORAGE_CONTROL, BATTERY, BANK))
        return await legacy_pack_of(link, unit, asset_id)
    raise SunSpecError(
        f"Unit {device_id} has neither the SunSpec models 701 and 704 nor 101 to 103 and 124; it has "
        f"{', '.join(map(str, sorted(unit.models))) or 'none'}.",
        field="device_id",
        remedy="Check the unit identifier; an inverter without these models needs a register profile.",
    )
