"""The tables of the fleet: who owns what, where it stands, what it can do, what it did."""

from fleet.models.asset import Asset, AssetKind
from fleet.models.campaign import (
    CampaignStage,
    CampaignState,
    CampaignTarget,
    CommandBatch,
    FirmwareCampaign,
    TargetState,
)
from fleet.models.certificate import CertificateState, CertificateUse, StationCertificate
from fleet.models.charger import Charger, ChargerProtocol, Connector, ConnectorStatus, Evse, IdToken
from fleet.models.charging_limit import ChargingLimit
from fleet.models.command import CommandKind, CommandState, DeviceCommand
from fleet.models.consent import Consent, ConsentService
from fleet.models.contract import UseContract
from fleet.models.departure import Departure, DepartureSource
from fleet.models.der import DerAlarm, DerControl, DerControlState
from fleet.models.event_stream import EventStream
from fleet.models.firmware import FirmwareImage
from fleet.models.hub import Inverter, Meter, MeterRole, ModbusFraming, Pack, PackHealthRecord
from fleet.models.measurand import LatestMeasurand, SignedMeterValue
from fleet.models.owner import Owner
from fleet.models.pack_life import CapacityTest, CapacityTestState, PackIntake, PackIntakeRule
from fleet.models.reading import DeviceMessage, Reading
from fleet.models.session import SUPERSEDED, ChargingSession
from fleet.models.site import GridNode, OperationMode, Region, Site, SiteKind
from fleet.models.station import (
    LocalListEntry,
    Reservation,
    ReservationState,
    StationEvent,
    StationEventKind,
    StationReport,
    StationTransfer,
    StationVariable,
    TransferKind,
    VariableMonitor,
)
from fleet.models.vehicle import GoalKind, OnboardComputer, Vehicle, VehicleGoal, VehicleModel

__all__ = [
    "SUPERSEDED",
    "Asset",
    "AssetKind",
    "CampaignStage",
    "CampaignState",
    "CampaignTarget",
    "CapacityTest",
    "CapacityTestState",
    "CertificateState",
    "CertificateUse",
    "Charger",
    "ChargerProtocol",
    "ChargingLimit",
    "ChargingSession",
    "CommandBatch",
    "CommandKind",
    "CommandState",
    "Connector",
    "ConnectorStatus",
    "Consent",
    "ConsentService",
    "Departure",
    "DepartureSource",
    "DerAlarm",
    "DerControl",
    "DerControlState",
    "DeviceCommand",
    "DeviceMessage",
    "EventStream",
    "Evse",
    "FirmwareCampaign",
    "FirmwareImage",
    "GoalKind",
    "GridNode",
    "IdToken",
    "Inverter",
    "LatestMeasurand",
    "LocalListEntry",
    "Meter",
    "MeterRole",
    "ModbusFraming",
    "OnboardComputer",
    "OperationMode",
    "Owner",
    "Pack",
    "PackHealthRecord",
    "PackIntake",
    "PackIntakeRule",
    "Reading",
    "Region",
    "Reservation",
    "ReservationState",
    "SignedMeterValue",
    "Site",
    "SiteKind",
    "StationCertificate",
    "StationEvent",
    "StationEventKind",
    "StationReport",
    "StationTransfer",
    "StationVariable",
    "TargetState",
    "TransferKind",
    "UseContract",
    "VariableMonitor",
    "Vehicle",
    "VehicleGoal",
    "VehicleModel",
]
