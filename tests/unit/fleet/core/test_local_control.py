"""Rules of local control: kept as JSON and read back, refused where no station could follow."""

from __future__ import annotations

from typing import Any

import pytest

from fleet.core.local_control import LocalControl, LocalControlInvalid, V2XMode, read_local_control

DROOP = LocalControl(V2XMode.LOCAL_FREQUENCY, ((49.8, -8.0), (50.2, 8.0)), ((-100, -5.0), (100, 5.0)))


def test_what_is_kept_is_read_back() -> None:
    assert read_local_control(DROOP.to_json()) == DROOP
    assert read_local_control({}) == read_local_control(None) == LocalControl()


@pytest.mark.parametrize(
    ("kept", "field"),
    [
        ({"mode": "Sideways"}, "local_control"),
        ({"mode": "LocalFrequency"}, "frequency_watt"),
        ({"mode": "LocalFrequency", "frequency_watt": [[50.0, 1.0]]}, "frequency_watt"),
        ({"mode": "LocalFrequency", "frequency_watt": [[50.2, 1.0], [49.8, 1.0]]}, "frequency_watt"),
        ({"mode": "LocalFrequency", "frequency_watt": [[0.0, 1.0], [0.2, 1.0]]}, "frequency_watt"),
        ({"mode": "LocalFrequency", "frequency_watt": [[49.8], [50.0]]}, "local_control"),
        ({"signal_watt": [[0.0, 1.0]] * 2}, "signal_watt"),
        ({"signal_watt": [[float(x), 1.0] for x in range(21)]}, "signal_watt"),
    ],
)
def test_what_no_station_could_follow_is_refused(kept: dict[str, Any], field: str) -> None:
    with pytest.raises(LocalControlInvalid) as refused:
        read_local_control(kept)
    assert refused.value.field == field and refused.value.remedy
