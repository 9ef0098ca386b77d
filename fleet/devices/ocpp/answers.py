"""Whether a station did what it was asked: the words differ by message."""

from __future__ import annotations

from typing import Any

# What counts as done besides Accepted, in any message.
_DONE = frozenset(
    {"Accepted", "AcceptedCanceled", "EmptyResultSet", "RebootRequired", "Scheduled", "Unlocked", "Unpublished"}
)
_ALSO_DONE = {
    # nothing of that kind is installed, shown or stored: that is the answer
    "GetInstalledCertificateIds": frozenset({"NotFound"}),
    "GetDisplayMessages": frozenset({"Unknown"}),
    "GetChargingProfiles": frozenset({"NoProfiles"}),
    "UnpublishFirmware": frozenset({"NoFirmware"}),
    "DeleteCertificate": frozenset({"NotFound"}),
}
# messages whose answer judges each item by itself: list, and the word for each
_BY_ITEM = {
    "SetVariables": ("setVariableResult", "attributeStatus"),
    "GetVariables": ("getVariableResult", "attributeStatus"),
    "SetVariableMonitoring": ("setMonitoringResult", "status"),
    "ClearVariableMonitoring": ("clearMonitoringResult", "status"),
}


def judge_answer(action: str, answer: dict[str, Any]) -> tuple[bool, str]:
    """Whether the answer says that it was done, and if not, what it says."""
    done = _DONE | _ALSO_DONE.get(action, frozenset())
    if action in _BY_ITEM:
        items, word = _BY_ITEM[action]
        refused = sorted({item[word] for item in answer.get(items, ()) if item[word] not in done})
        if not refused:
            return True, ""
        # a reading is worth having even where one of the variables is unknown
        some = action == "GetVariables" and len(refused) < len({item[word] for item in answer[items]})
        return some, "" if some else f"{action} answered {', '.join(refused)}"
    status = answer.get("status", "Accepted")
    if status in done:
        return True, ""
    info = answer.get("statusInfo", {})
    why = " ".join(filter(None, [info.get("reasonCode", ""), info.get("additionalInfo", "")]))
    return False, f"{action} answered {status}{f': {why}' if why else ''}"
