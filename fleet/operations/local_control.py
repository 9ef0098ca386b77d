"""The rule by which an EVSE departs from its schedules: set by an operator, carried by every schedule from then on."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from common.errors import Conflict
from fleet.core.local_control import LocalControl
from fleet.models import ChargerProtocol
from fleet.operations.changes import announce_change
from fleet.operations.commands import resume_schedules
from fleet.operations.stations import lock_evse


class NoLocalControl(Conflict):
    """The station's protocol knows no modes of operation."""

    code = "no_local_control"


@transaction.atomic
def set_local_control(*, identity: str, evse_number: int, control: LocalControl, now: datetime) -> None:
    """Let bidirectional sessions at an EVSE follow a rule around their schedules; the plain mode takes it back.

    What holds now is sent again with the rule, and planning is told.

    Raises:
        UnknownEvse, NoLocalControl, LocalControlInvalid.
    """
    control.check()
    evse = lock_evse(identity, evse_number)
    if evse.charger.protocol != ChargerProtocol.OCPP_21 or evse.max_discharge_kw <= 0:
        raise NoLocalControl(
            "This EVSE knows no modes of operation.", field="evse", remedy="It needs OCPP 2.1 and a way to discharge."
        )
    evse.local_control = {} if control == LocalControl() else control.to_json()
    evse.save(update_fields=["local_control"])
    resume_schedules(identity=identity, now=now)
    announce_change(kind="owner", asset_id=evse.asset_id, region_id=evse.charger.site.grid_node.region_id)
