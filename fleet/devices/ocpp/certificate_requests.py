"""Certificates and the password of a station."""

from __future__ import annotations

from fleet.core.station_commands import VariableName
from fleet.devices.ocpp.request_parts import Builder, Request, wire_variable
from fleet.devices.ocpp.wire import V16
from fleet.models import CommandKind
from fleet.operations.commands import DueCommand

# 1.6 calls the platform's own root otherwise, and knows no vehicles'
_ROOTS_V16 = {
    "CSMSRootCertificate": "CentralSystemRootCertificate",
    "ManufacturerRootCertificate": "ManufacturerRootCertificate",
}


def _root(use: str, version: str) -> str:
    if version != V16:
        return use
    if use not in _ROOTS_V16:
        raise ValueError("OCPP 1.6 knows the roots of the platform and of the manufacturer only")
    return _ROOTS_V16[use]


def _install_certificate(command: DueCommand, version: str) -> Request:
    return "InstallCertificate", {
        "certificateType": _root(command.parameters["use"], version),
        "certificate": command.parameters["certificate"],
    }


def _list_certificates(command: DueCommand, version: str) -> Request:
    use = command.parameters.get("use")
    if version == V16:
        # it asks for one kind at a time
        return "GetInstalledCertificateIds", {"certificateType": _root(use or "CSMSRootCertificate", version)}
    return "GetInstalledCertificateIds", {"certificateType": [use]} if use else {}


def _delete_certificate(command: DueCommand, version: str) -> Request:
    given = command.parameters
    return "DeleteCertificate", {
        "certificateHashData": {
            "hashAlgorithm": given["hash_algorithm"],
            "issuerNameHash": given["issuer_name_hash"],
            "issuerKeyHash": given["issuer_key_hash"],
            "serialNumber": given["serial_number"],
        }
    }


def _certificate_signed(command: DueCommand, version: str) -> Request:
    chain = {"certificateChain": command.parameters["certificate_chain"]}
    if version == V16:
        return "CertificateSigned", chain
    return "CertificateSigned", {**chain, "certificateType": "ChargingStationCertificate"}


def new_password(password: str, version: str) -> Request:
    """Give a station a new password for HTTP Basic authentication."""
    if version == V16:
        return "ChangeConfiguration", {"key": "AuthorizationKey", "value": password}
    variable = wire_variable(VariableName("SecurityCtrlr", "BasicAuthPassword"))
    return "SetVariables", {"setVariableData": [{"attributeValue": password, **variable}]}


BUILDERS: dict[str, Builder] = {
    CommandKind.INSTALL_CERTIFICATE: _install_certificate,
    CommandKind.LIST_CERTIFICATES: _list_certificates,
    CommandKind.DELETE_CERTIFICATE: _delete_certificate,
    CommandKind.CERTIFICATE_SIGNED: _certificate_signed,
}
