"""The tables of the fleet: who owns what, where it stands, what it can do, what it did."""

from fleet.models.asset import Asset, AssetKind
from fleet.models.charger import Charger, ChargerProtocol, Connector, ConnectorStatus, Evse, IdToken
from fleet.models.charging_limit import ChargingLimit
from fleet.models.command import CommandKind, CommandState, DeviceCommand
from fleet.models.consent import Consent, ConsentService
from fleet.models.hub import Inverter, Meter, MeterRole, ModbusFraming, Pack, PackHealthRecord
from fleet.models.owner import Owner
from fleet.models.reading import DeviceMessage, Reading
from fleet.models.session import SUPERSEDED, ChargingSession
from fleet.models.site import GridNode, OperationMode, Region, Site, SiteKind
from fleet.models.vehicle import GoalKind, OnboardComputer, Vehicle, VehicleGoal, VehicleModel

__all__ = [
    "SUPERSEDED",
    "Asset",
    "AssetKind",
    "Charger",
    "ChargerProtocol",
    "ChargingLimit",
    "ChargingSession",
    "CommandKind",
    "CommandState",
    "Connector",
    "ConnectorStatus",
    "Consent",
    "ConsentService",
    "DeviceCommand",
    "DeviceMessage",
    "Evse",
    "GoalKind",
    "GridNode",
    "IdToken",
    "Inverter",
    "Meter",
    "MeterRole",
    "ModbusFraming",
    "OnboardComputer",
    "OperationMode",
    "Owner",
    "Pack",
    "PackHealthRecord",
    "Reading",
    "Region",
    "Site",
    "SiteKind",
    "Vehicle",
    "VehicleGoal",
    "VehicleModel",
]
