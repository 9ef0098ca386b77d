"""Variables of components, the device model of OCPP 2.x, between the wire and a station's settings."""

from __future__ import annotations

from fleet.twin.ocpp.settings import Setting, SettingRefused, Settings


def variable_get(settings: Settings, asked: dict) -> dict:
    """One result of GetVariables."""
    setting, status = _find(settings, asked, "NotSupportedAttributeType")
    if setting is not None and setting.secret:
        setting, status = None, "Rejected"
    return {
        **_named(asked),
        "attributeStatus": status,
        **({"attributeValue": setting.value} if setting is not None else {}),
    }


def variable_set(settings: Settings, asked: dict) -> dict:
    """One result of SetVariables."""
    setting, status = _find(settings, asked, "NotSupportedAttributeType")
    info = {}
    if setting is not None:
        try:
            settings.change(setting, asked["attributeValue"])
        except SettingRefused as refused:
            status = "Rejected"
            reason = "ReadOnly" if setting.read_only else "InvalidValue"
            info = {"attributeStatusInfo": {"reasonCode": reason, "additionalInfo": str(refused)}}
    return {**_named(asked), "attributeStatus": status, **info}


def report_data(setting: Setting) -> dict:
    """One entry of NotifyReport."""
    mutability = "ReadOnly" if setting.read_only else "WriteOnly" if setting.secret else "ReadWrite"
    return {
        "component": {"name": setting.component},
        "variable": dict(zip(("name", "instance"), setting.name.split("/"), strict=False)),
        "variableAttribute": [
            {"mutability": mutability, **({} if setting.secret else {"value": setting.value})},
        ],
        "variableCharacteristics": {
            "dataType": setting.data_type,
            "supportsMonitoring": False,
            **({"valuesList": setting.choices} if setting.choices else {}),
        },
    }


def _find(settings: Settings, asked: dict, not_supported: str) -> tuple[Setting | None, str]:
    component, variable = asked["component"]["name"], asked["variable"]
    name = "/".join(variable[part] for part in ("name", "instance") if part in variable)
    setting = settings.get(name, component)
    if setting is None:
        return None, "UnknownVariable" if component in settings.components() else "UnknownComponent"
    if asked.get("attributeType", "Actual") != "Actual":
        return None, not_supported
    return setting, "Accepted"


def _named(asked: dict) -> dict:
    return {
        "component": asked["component"],
        "variable": asked["variable"],
        **({"attributeType": asked["attributeType"]} if "attributeType" in asked else {}),
    }
